/** `jetclaw doctor`: looks at everything a deployment stands on, and names the next step where something is wrong. */
import { Command, Option } from "commander";
import { natsUrlOf, readSettings } from "../settings.ts";
import type { Finding, Patient } from "./doctor/finding.ts";
import { EXIT } from "./failure.ts";
import { gatewayOf, reachesGateway } from "./gateway.ts";
import { print, printJson } from "./print.ts";

interface DoctorFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
}

const END_LIMIT_MS = 1_000;
const INDENT = " ".repeat(22);
const MARKS = { ok: "ok  ", warn: "warn", fail: "fail" } as const;

export function doctorCommand(): Command {
  return reachesGateway(
    new Command("doctor").description(
      "check this machine and the deployment, with a next step for what is wrong",
    ),
  )
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw doctor\n  jetclaw doctor --url http://gateway:8080 --nats nats://nats:4222\n\nExit code 1 when a check fails; warnings do not count.",
    )
    .action(async (flags: DoctorFlags) => {
      const settings = readSettings();
      const patient: Patient = {
        settings,
        gateway: gatewayOf(flags),
        natsUrl: flags.nats ?? natsUrlOf(settings),
        named: {
          gateway: flags.url !== undefined,
          nats: flags.nats !== undefined || settings.natsUrl !== undefined,
        },
      };
      const { CHECKS } = await import("./doctor/checks.ts");
      const findings: Finding[] = [];
      // One after the other: a disk that is being measured should not be busy with the next check.
      for (const [name, check] of CHECKS) {
        const found = await check(patient).catch(failureOf);
        const finding = { check: name, ...found };
        findings.push(finding);
        if (!flags.json) show(finding);
      }
      if (flags.json) printJson({ checks: findings });
      if (findings.some(({ state }) => state === "fail")) process.exitCode = EXIT.failed;
      // A server that accepts and says nothing would keep us: nats.js leaves the socket of an attempt that took too long.
      setTimeout(() => process.exit(), END_LIMIT_MS).unref();
    });
}

function show({ check, state, found, next }: Finding): void {
  print(`${MARKS[state]}  ${check.padEnd(14)}  ${found}`);
  if (next && state !== "ok") print(`${INDENT}${next}`);
}

/** What a check did not expect says what to do itself, or below its first line. */
function failureOf(error: unknown): Omit<Finding, "check"> {
  const [found = "", ...rest] = (error instanceof Error ? error.message : String(error)).split("\n");
  return { state: "fail", found, ...(rest.length > 0 ? { next: rest.join(`\n${INDENT}`) } : {}) };
}
