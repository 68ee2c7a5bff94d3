/** `jetclaw simulator`: an OpenAI-compatible model server with faults to order, for trying things out. */
import { Command } from "commander";
import { JetclawError } from "#contracts/errors.ts";
import { CliFailure, usage } from "./failure.ts";

export function simulatorCommand(): Command {
  return new Command("simulator")
    .description("run a simulated OpenAI-compatible model server that fails on request")
    .argument("[flags...]", "flags of the simulator; -- --help lists them")
    .allowUnknownOption()
    .addHelpText(
      "after",
      `
Examples:
  jetclaw simulator --port 8000 --ttft-ms 200 --tokens-per-second 50
  jetclaw simulator --error-rate 0.1 --status 503
  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 jetclaw up`,
    )
    .action(async (flags: string[]) => {
      const { simulatorCommand: simulate } = await import("#ops/simulator/main.ts");
      await simulate(flags).catch((error: NodeJS.ErrnoException) => {
        if (error instanceof JetclawError && error.code === "config.invalid")
          throw usage(error.detail ?? error.message, "jetclaw simulator -- --help lists the flags.");
        if (error.code !== "EADDRINUSE") throw error;
        throw new CliFailure(error.message, { next: "Name another port: --port 8001, or 0 for a free one." });
      });
    });
}
