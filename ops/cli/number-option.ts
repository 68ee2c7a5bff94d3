/** Options that are whole numbers: refused, naming the flag and its bounds, where they are none. */
import { Option } from "commander";
import { usage } from "./failure.ts";

/** @returns a parser for commander @throws CliFailure of usage */
export function wholeNumber(flag: string, least = 1, most?: number): (text: string) => number {
  const bounds = `from ${least}${most === undefined ? "" : ` to ${most}`}`;
  return (text) => {
    const number = Number(text);
    if (!Number.isSafeInteger(number) || number < least || number > (most ?? number))
      throw usage(`${flag} is a whole number ${bounds}, not "${text}"`);
    return number;
  };
}

/** An option such as `--rounds <n>` with its default. */
export const count = (flags: string, description: string, value: number, least = 1): Option =>
  new Option(flags, description).default(value).argParser(wholeNumber(flags.split(" ")[0] as string, least));
