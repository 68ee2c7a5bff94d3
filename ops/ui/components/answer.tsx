/** The bot's half of a turn: text as it grows, then sources, thumbs and where it came from. */
import type { VNode } from "preact";
import { Markdown } from "../markdown.tsx";
import { openSource, rate, strings, view } from "../store.ts";
import type { TurnView } from "../view.ts";
import { Chip, Sources } from "./citations.tsx";
import { DownIcon, Mark, UpIcon } from "./icons.tsx";

export function Answer({ turn }: { turn: TurnView }) {
  const isEmpty = turn.text === "";
  return (
    <div class="answer" data-running={!turn.closed} aria-busy={!turn.closed}>
      <Mark />
      <div class="answer-body">
        <h2 class="hidden">{strings.assistant}</h2>
        {turn.restarted && !turn.closed && <p class="note note-restart">{strings.startingOver}</p>}
        {isEmpty && !turn.closed ? (
          <Thinking />
        ) : (
          <Markdown text={turn.text} marker={markersOf(turn)} isGrowing={!turn.closed} />
        )}
        {turn.closed && <Ending turn={turn} />}
      </div>
    </div>
  );
}

/** Until the end brings the citations, a marker is a chip without a document: the text does not jump when it comes. */
function markersOf(turn: TurnView): (n: number) => VNode | undefined {
  if (!turn.closed) return (n) => <span class="chip chip-pending">{n}</span>;
  return (n) => {
    const citation = turn.citations[n - 1];
    return citation && <Chip turn={turn.turn} n={n} title={citation.title} />;
  };
}

export function Thinking() {
  const text = view.value.status === "calling" ? strings.calling : strings.thinking;
  return (
    <p class="thinking">
      <span class="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {text}
    </p>
  );
}

function Ending({ turn }: { turn: TurnView }) {
  const isAnswer = turn.outcome === "answered" || turn.outcome === "said";
  return (
    <>
      {turn.outcome === "stopped" && <p class="note">{strings.stopped}</p>}
      {turn.outcome === "failed" && turn.text === "" && <p class="note note-bad">{strings.failedTurn}</p>}
      {turn.outcome === "failed" && turn.reference && (
        <p class="note">
          {strings.reference} <code>{turn.reference}</code>
        </p>
      )}
      {turn.citations.length > 0 && <Sources turn={turn} open={openSource} />}
      {isAnswer && turn.text !== "" && (
        <div class="ending">
          <Thumb turn={turn} value="up" />
          <Thumb turn={turn} value="down" />
          {turn.model && <span class="model">{turn.model}</span>}
          {turn.cached && (
            <span class="badge" title={strings.fromCacheHint}>
              {strings.fromCache}
            </span>
          )}
        </div>
      )}
    </>
  );
}

function Thumb({ turn, value }: { turn: TurnView; value: "up" | "down" }) {
  const label = value === "up" ? strings.good : strings.bad;
  return (
    <button
      type="button"
      class="thumb"
      aria-label={label}
      title={label}
      aria-pressed={turn.feedback === value}
      onClick={() => void rate(turn.turn, value)}
    >
      {value === "up" ? <UpIcon /> : <DownIcon />}
    </button>
  );
}
