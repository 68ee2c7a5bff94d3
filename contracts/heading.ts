/** Headings of Markdown, found in one pass: a line may have half a million characters, and regular expressions go back. */

/** More is no heading, and every passage below it would carry it. */
export const HEADING_CHARS = 512;

export interface Heading {
  /** 1 to 6 */
  readonly level: number;
  readonly name: string;
}

/** The heading that a line is; marks at its end close it. */
export function headingAt(line: string): Heading | undefined {
  const [begin, marks] = /^ {0,3}(#{1,6})\s/.exec(line) ?? [];
  if (!begin || !marks) return undefined;
  const whole = line.slice(begin.length).trim();
  let end = whole.length;
  while (end > 1 && whole[end - 1] === "#") end--;
  if (whole === "") return undefined;
  return { level: marks.length, name: whole.slice(0, end).trimEnd().slice(0, HEADING_CHARS) };
}

/** The name of the first heading of a text. */
export function headingOf(markdown: string): string | undefined {
  for (let at = 0; at < markdown.length; ) {
    const end = markdown.indexOf("\n", at);
    const to = end < 0 ? markdown.length : end;
    const heading = headingAt(markdown.slice(at, to));
    if (heading) return heading.name;
    at = to + 1;
  }
  return undefined;
}
