/** One request to a gateway: where it goes, what it carries, and every failure as one kind of error. */

/** What a gateway says of a failure (RFC 9457), or what the client says when none answered. */
export interface Problem {
  /** `group.code` of the table of errors; `client.*` when no gateway answered. */
  readonly code: string;
  readonly title: string;
  /** 0 when no gateway answered. */
  readonly status: number;
  readonly detail?: string | undefined;
  readonly next?: string | undefined;
  readonly traceId?: string | undefined;
  readonly retry?: "never" | "later" | "now" | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** The only error that the client throws on purpose; an aborted signal throws its own reason. */
export class JetclawClientError extends Error implements Problem {
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string | undefined;
  readonly next: string | undefined;
  readonly traceId: string | undefined;
  readonly retry: "never" | "later" | "now" | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(problem: Problem, options?: { cause?: unknown }) {
    super(`${problem.code}: ${problem.detail ?? problem.title}`, options);
    this.name = "JetclawClientError";
    this.code = problem.code;
    this.title = problem.title;
    this.status = problem.status;
    this.detail = problem.detail;
    this.next = problem.next;
    this.traceId = problem.traceId;
    this.retry = problem.retry;
    this.retryAfterSeconds = problem.retryAfterSeconds;
  }
}

export interface ClientOptions {
  /** Address of a gateway. */
  readonly url: string;
  readonly key: string;
  /** Another `fetch`, for tests and old platforms. */
  readonly fetch?: typeof fetch;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
}

export class Http {
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** The caller's signal joined with the end of this client. */
  signalOf(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
  }

  close(): void {
    this.#closing.abort(
      new JetclawClientError({ code: "client.closed", title: "The client was closed.", status: 0 }),
    );
  }

  /** @throws JetclawClientError for anything that is not 2xx */
  async call(path: readonly string[], call: Call = {}): Promise<Response> {
    const { method = "GET", body, headers = {}, query = {} } = call;
    const signal = this.signalOf(call.signal);
    const target = urlOf(this.#options.url, path, query);
    let response: Response;
    try {
      response = await (this.#options.fetch ?? fetch)(target, {
        method,
        signal,
        headers: {
          ...defined(headers),
          authorization: `Bearer ${this.#options.key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw unreachable(cause, target.origin);
    }
    if (response.ok) return response;
    throw await failureOf(response);
  }

  async json<T>(path: readonly string[], call?: Call): Promise<T> {
    const response = await this.call(path, call);
    return (await response.json()) as T;
  }

  /** Undefined for 404 with one of these codes. */
  async jsonOr<T>(code: string, path: readonly string[], call?: Call): Promise<T | undefined> {
    try {
      return await this.json<T>(path, call);
    } catch (error) {
      if (error instanceof JetclawClientError && error.code === code) return undefined;
      throw error;
    }
  }
}

const defined = (headers: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );

function urlOf(
  base: string,
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>>,
): URL {
  const url = new URL(`${base.replace(/\/+$/, "")}/v1/${path.map(segmentOf).join("/")}`);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, value);
  return url;
}

/** URLs resolve `.` and `..` even when they are percent-encoded, so these two ids cannot be named in a path. */
function segmentOf(id: string): string {
  if (id !== "" && id !== "." && id !== ".." && id.isWellFormed()) return encodeURIComponent(id);
  throw new JetclawClientError({
    code: "request.id",
    title: "An id is not valid.",
    status: 0,
    next: "Use 1 to 256 characters without white space or control characters, other than `.` and `..`.",
    retry: "never",
  });
}

export function unreachable(cause: unknown, at?: string): JetclawClientError {
  return new JetclawClientError(
    {
      code: "client.unreachable",
      title: "No gateway answers.",
      ...(at === undefined ? {} : { detail: `No gateway answers at ${at}.` }),
      status: 0,
      retry: "later",
      next: "Check the URL and that the gateway runs.",
    },
    { cause },
  );
}

async function failureOf(response: Response): Promise<JetclawClientError> {
  const said: unknown = await response.json().catch(() => undefined);
  const seconds = Number(response.headers.get("retry-after"));
  return problemError(said, response.status, seconds > 0 ? seconds : undefined);
}

/** An error from whatever a gateway, or something in front of it, sent. */
export function problemError(said: unknown, status: number, retryAfterSeconds?: number): JetclawClientError {
  const problem: Partial<Problem> = typeof said === "object" && said !== null ? said : {};
  return new JetclawClientError({
    code: problem.code ?? "client.unexpected",
    title: problem.title ?? `The answer has status ${status}.`,
    status: problem.status ?? status,
    detail: problem.detail,
    next: problem.next,
    traceId: problem.traceId,
    retry: problem.retry,
    retryAfterSeconds,
  });
}
