/** Renders our Markdown subset from its nodes. There is no HTML anywhere: what a model writes can only be text. */
import { type ComponentChildren, createElement, type VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { type Block, type Inline, parseMarkdown } from "#contracts/content.ts";
import { closeOpenMarks, MARKER, parseGrowing } from "./marks.ts";

/** What stands for the marker `[n]`; undefined leaves it as the text it is. */
export type RenderMarker = (n: number) => VNode | undefined;

export interface MarkdownProps {
  readonly text: string;
  readonly marker?: RenderMarker;
  /** More text follows: marks that are open at the end are not shown as what they are not. */
  readonly isGrowing?: boolean;
}

// The page has an h1, and each answer an h2 of its own.
const FIRST_HEADING_LEVEL = 3;

export function Markdown({ text, marker, isGrowing = false }: MarkdownProps) {
  const settled = useRef(new Map<string, readonly Block[]>());
  const blocks = useMemo(
    () => (isGrowing ? parseGrowing(closeOpenMarks(text), settled.current) : parseMarkdown(text)),
    [text, isGrowing],
  );
  return <div class="prose">{renderBlocks(blocks, marker)}</div>;
}

function renderBlocks(blocks: readonly Block[], marker: RenderMarker | undefined): ComponentChildren {
  return blocks.map((block, at) => <BlockView key={at} block={block} marker={marker} />);
}

function BlockView({ block, marker }: { block: Block; marker: RenderMarker | undefined }) {
  switch (block.type) {
    case "paragraph":
      return <p>{renderInlines(block.children, marker)}</p>;
    case "heading": {
      const level = Math.min(block.level - 1 + FIRST_HEADING_LEVEL, 6);
      return createElement(`h${level}`, null, renderInlines(block.children, marker));
    }
    case "code":
      // Long lines scroll, so the block has to be reachable by keyboard.
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region needs a tab stop.
        <pre tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote>{renderBlocks(block.children, marker)}</blockquote>;
    case "list": {
      const items = block.items.map((item, at) => <li key={at}>{renderItem(item, marker)}</li>);
      return block.ordered ? <ol>{items}</ol> : <ul>{items}</ul>;
    }
  }
}

/** An item of one paragraph is a line, not a paragraph with its space around it. */
function renderItem(item: readonly Block[], marker: RenderMarker | undefined): ComponentChildren {
  const [only] = item;
  if (item.length === 1 && only?.type === "paragraph") return renderInlines(only.children, marker);
  return renderBlocks(item, marker);
}

function renderInlines(inlines: readonly Inline[], marker: RenderMarker | undefined): ComponentChildren {
  return inlines.map((inline, at) => <InlineView key={at} inline={inline} marker={marker} />);
}

function InlineView({ inline, marker }: { inline: Inline; marker: RenderMarker | undefined }) {
  switch (inline.type) {
    case "text":
      return <>{marker ? withMarkers(inline.text, marker) : inline.text}</>;
    case "code":
      return <code>{inline.text}</code>;
    case "break":
      return <br />;
    case "strong":
      return <strong>{renderInlines(inline.children, marker)}</strong>;
    case "emphasis":
      return <em>{renderInlines(inline.children, marker)}</em>;
    case "link":
      return (
        <a href={inline.url} target="_blank" rel="noopener noreferrer">
          {renderInlines(inline.children, undefined)}
        </a>
      );
  }
}

function withMarkers(text: string, marker: RenderMarker): ComponentChildren[] {
  const out: ComponentChildren[] = [];
  let from = 0;
  for (const match of text.matchAll(MARKER)) {
    const chips = (match[1] ?? "").split(",").map((n) => marker(Number(n)));
    if (chips.some((chip) => chip === undefined)) continue;
    out.push(text.slice(from, match.index), ...chips);
    from = match.index + match[0].length;
  }
  out.push(text.slice(from));
  return out;
}
