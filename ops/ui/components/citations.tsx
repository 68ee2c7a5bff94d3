/** Chips in the text, the list of sources under it, and the passage that opens from either. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Citation } from "#contracts/content.ts";
import { Markdown } from "../markdown.tsx";
import { api, openSource, strings } from "../store.ts";
import type { TurnView } from "../view.ts";
import { CloseIcon, OutIcon } from "./icons.tsx";

type OpenSource = typeof openSource.value;

function toggle(turn: number, n: number): void {
  const isOpen = openSource.peek()?.turn === turn && openSource.peek()?.n === n;
  openSource.value = isOpen ? undefined : { turn, n };
}

const idOf = (turn: number): string => `source-of-${turn}`;

interface MarkerProps {
  readonly turn: number;
  readonly n: number;
  readonly title: string;
}

export function Chip({ turn, n, title }: MarkerProps) {
  const isOpen = openSource.value?.turn === turn && openSource.value.n === n;
  return (
    <button
      type="button"
      class="chip"
      aria-expanded={isOpen}
      aria-controls={isOpen ? idOf(turn) : undefined}
      aria-label={`${strings.source} ${n}: ${title}`}
      title={title}
      onClick={() => toggle(turn, n)}
    >
      {n}
    </button>
  );
}

export function Sources({ turn, open }: { turn: TurnView; open: Signal<OpenSource> }) {
  const opened = open.value?.turn === turn.turn ? open.value.n : undefined;
  const citation = opened === undefined ? undefined : turn.citations[opened - 1];
  return (
    <div class="sources">
      <h3 class="sources-title">{strings.sources}</h3>
      <ol class="source-list">
        {turn.citations.map((source, at) => (
          <li key={`${source.collection}/${source.document}/${at}`}>
            <button
              type="button"
              class="source"
              aria-expanded={opened === at + 1}
              aria-controls={opened === at + 1 ? idOf(turn.turn) : undefined}
              onClick={() => toggle(turn.turn, at + 1)}
            >
              <span class="source-number" aria-hidden="true">
                {at + 1}
              </span>
              <span>{source.title}</span>
            </button>
          </li>
        ))}
      </ol>
      {citation && <Passage key={opened} turn={turn.turn} n={opened ?? 0} citation={citation} />}
    </div>
  );
}

interface PassageProps {
  readonly turn: number;
  readonly n: number;
  readonly citation: Citation;
}

/** Takes the focus when it opens and gives it back to what opened it. */
function Passage({ turn, n, citation }: PassageProps) {
  const panel = useRef<HTMLElement>(null);
  const text = usePassage(citation);

  useEffect(() => {
    const opener = document.activeElement;
    panel.current?.focus({ preventScroll: true });
    panel.current?.scrollIntoView({ block: "nearest" });
    return () => {
      // Only if nothing else was chosen meanwhile: opening another source moves the focus itself.
      const isAway = document.activeElement === document.body || document.activeElement === null;
      if (isAway && opener instanceof HTMLElement) opener.focus({ preventScroll: true });
    };
  }, []);

  useEffect(() => {
    panel.current?.scrollIntoView({ block: "nearest" });
  }, [text.value]);

  return (
    <section
      class="passage"
      id={idOf(turn)}
      ref={panel}
      tabIndex={-1}
      aria-label={`${strings.source} ${n}: ${citation.title}`}
    >
      <header>
        <h4>{citation.title}</h4>
        <button type="button" class="icon-button" aria-label={strings.close} onClick={() => toggle(turn, n)}>
          <CloseIcon />
        </button>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region needs a tab stop. */}
      <div class="passage-text" tabIndex={0}>
        {text.value.state === "loading" && <p class="thinking">{strings.loadingDocument}</p>}
        {text.value.state === "gone" && <p class="note">{strings.documentGone}</p>}
        {text.value.state === "here" && <Markdown text={text.value.text} />}
      </div>
      <footer>
        <span>
          {strings.revision} {citation.revision}
        </span>
        {text.value.state === "here" && text.value.changed && (
          <span class="changed">{strings.documentChanged}</span>
        )}
        {citation.url && /^https?:/i.test(citation.url) && (
          <a href={citation.url} target="_blank" rel="noopener noreferrer">
            {strings.openPage}
            <OutIcon />
          </a>
        )}
      </footer>
    </section>
  );
}

type PassageText =
  | { readonly state: "loading" }
  | { readonly state: "gone" }
  | { readonly state: "here"; readonly text: string; readonly changed: boolean };

/** A document begins with its title, which the panel shows already. */
const withoutTitle = (text: string): string => text.replace(/^\s*# [^\n]*\n/, "");

/** The quoted passage, or the whole document where the answer names it without quoting. */
function usePassage({ passage, collection, document, revision }: Citation): Signal<PassageText> {
  const text = useSignal<PassageText>(
    passage ? { state: "here", text: passage, changed: false } : { state: "loading" },
  );
  useEffect(() => {
    if (passage) return;
    let isOpen = true;
    api
      .document(collection, document)
      .then(
        (found): PassageText => ({
          state: "here",
          text: withoutTitle(found.text),
          changed: found.revision !== revision,
        }),
      )
      .catch((): PassageText => ({ state: "gone" }))
      .then((result) => {
        if (isOpen) text.value = result;
      });
    return () => {
      isOpen = false;
    };
  }, []);
  return text;
}
