// The smallest PDF that a viewer opens: one font, lines of given size and height, pages of them.
export interface PdfLine {
  readonly text: string;
  readonly size: number;
  /** Distance from the bottom of the page. */
  readonly y: number;
  /** Distance from the left of the page; 72 when left out. */
  readonly x?: number;
}

export function pdfOf(pages: readonly (readonly PdfLine[])[], title?: string): Buffer {
  const objects: string[] = [];
  const add = (body: string): number => objects.push(body);
  const font = add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
  const kids = pages.map((lines) => {
    const drawn = lines
      .map(({ text, size, y, x = 72 }) => `BT /F1 ${size} Tf ${x} ${y} Td (${escaped(text)}) Tj ET`)
      .join("\n");
    const content = add(`<< /Length ${Buffer.byteLength(drawn, "latin1")} >>\nstream\n${drawn}\nendstream`);
    return add(
      `<< /Type /Page /Parent PAGES /MediaBox [0 0 612 792] /Contents ${content} 0 R /Resources << /Font << /F1 ${font} 0 R >> >> >>`,
    );
  });
  const tree = add(
    `<< /Type /Pages /Count ${kids.length} /Kids [${kids.map((kid) => `${kid} 0 R`).join(" ")}] >>`,
  );
  const root = add(`<< /Type /Catalog /Pages ${tree} 0 R >>`);
  const info = add(title === undefined ? "<< >>" : `<< /Title (${title}) >>`);
  let file = "%PDF-1.4\n";
  const places = objects.map((body, n) => {
    const at = file.length;
    file += `${n + 1} 0 obj\n${body.replace("PAGES", `${tree} 0 R`)}\nendobj\n`;
    return at;
  });
  const table = places.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  const start = file.length;
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n`;
  file += `<< /Size ${objects.length + 1} /Root ${root} 0 R /Info ${info} 0 R >>\nstartxref\n${start}\n%%EOF\n`;
  return Buffer.from(file, "latin1");
}

/** A bullet is 0x95 in the encoding of the font. */
const escaped = (text: string): string => text.replace(/[\\()]/g, "\\$&").replaceAll("\u2022", "\u0095");
