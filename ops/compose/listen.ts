/** Why an address cannot be listened on, with the next step. */
import { JetclawError } from "#contracts/errors.ts";

/** `names`: what the operator sets host and port by. Anything else that was thrown comes back as it is. */
export function listenError(
  error: unknown,
  host: string,
  port: number,
  names: { readonly host: string; readonly port: string },
): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE")
    return new JetclawError(
      "start.refused",
      `${host}:${port} is in use; set ${names.port} to another port, or end what listens there`,
      { cause: error },
    );
  if (code === "EACCES" || code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return new JetclawError(
      "start.refused",
      `cannot listen on ${host}:${port}; check ${names.host} and ${names.port}`,
      { cause: error },
    );
  return error;
}
