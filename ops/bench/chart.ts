/**
 * What happened over time as an SVG: one panel a measure, one line a series. The only file that knows vega-lite, which
 * is a development dependency: plots are drawn in a clone, not by an installed package.
 */
import { JetclawError } from "#contracts/errors.ts";

export interface Panel {
  readonly title: string;
  readonly unit: string;
  /** Lines by name, `[seconds, value]`. */
  readonly lines: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  /** Values that hold until the next one, such as a level. */
  readonly steps?: boolean;
  /** Values over several orders of magnitude. */
  readonly logarithmic?: boolean;
}

const WIDTH = 640;
const HEIGHT = 160;

/** @throws JetclawError `start.refused` where vega is not installed */
export async function drawPanels(title: string, panels: readonly Panel[]): Promise<string> {
  const { vega, vegaLite } = await load();
  const { spec } = vegaLite.compile({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title,
    background: "#ffffff",
    vconcat: panels.map((panel) => ({
      title: panel.title,
      width: WIDTH,
      height: HEIGHT,
      data: {
        values: Object.entries(panel.lines).flatMap(([name, points]) =>
          points.map(([seconds, value]) => ({ name, seconds, value })),
        ),
      },
      mark: { type: "line", interpolate: panel.steps ? "step-after" : "linear" },
      encoding: {
        x: { field: "seconds", type: "quantitative", title: "seconds" },
        y: {
          field: "value",
          type: "quantitative",
          title: panel.unit,
          ...(panel.logarithmic ? { scale: { type: "log" } } : {}),
        },
        color: { field: "name", type: "nominal", title: null },
      },
    })),
    resolve: { scale: { color: "independent" } },
  });
  const view = new vega.View(vega.parse(spec), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

async function load(): Promise<{ vega: typeof import("vega"); vegaLite: typeof import("vega-lite") }> {
  try {
    const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
    return { vega, vegaLite };
  } catch (cause) {
    throw new JetclawError(
      "start.refused",
      "--plot draws with vega and vega-lite, which are not installed here: npm install --no-save vega vega-lite",
      { cause },
    );
  }
}
