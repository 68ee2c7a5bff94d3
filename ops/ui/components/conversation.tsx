/** The log: turns, then messages no turn has taken yet. Follows the newest line until the person scrolls up. */
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { awaited, loaded, running, strings, view } from "../store.ts";
import { Thinking } from "./answer.tsx";
import { LatestIcon, Mark } from "./icons.tsx";
import { Pending } from "./pending.tsx";
import { Turn } from "./turn.tsx";
import { Welcome } from "./welcome.tsx";

/** Closer to the end than this counts as being there. */
const END_PX = 32;

export function Conversation() {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follows = useSignal(true);
  const { turns, pending } = view.value;
  const lastPending = pending.at(-1)?.id;
  const isEmpty = turns.length === 0 && pending.length === 0;

  useEffect(() => {
    const box = scroller.current;
    const inner = content.current;
    if (!box || !inner) return;
    let top = box.scrollTop;
    let height = box.scrollHeight;
    const toEnd = (): void => {
      if (follows.peek()) box.scrollTop = box.scrollHeight;
    };
    const onScroll = (): void => {
      const rest = box.scrollHeight - box.clientHeight - box.scrollTop;
      // Upwards while nothing shrank is the person; a restart shortens the log and moves it too.
      if (box.scrollTop < top - 1 && box.scrollHeight >= height && rest > END_PX) follows.value = false;
      else if (rest <= END_PX) follows.value = true;
      top = box.scrollTop;
      height = box.scrollHeight;
    };
    box.addEventListener("scroll", onScroll, { passive: true });
    const sizes = new ResizeObserver(toEnd);
    sizes.observe(inner);
    sizes.observe(box);
    return () => {
      box.removeEventListener("scroll", onScroll);
      sizes.disconnect();
    };
  }, []);

  // One's own message always comes into view.
  useLayoutEffect(() => {
    if (lastPending) jump();
  }, [lastPending]);

  function jump(): void {
    follows.value = true;
    if (scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
  }

  return (
    <div class="log-frame">
      <div
        class="scroller"
        ref={scroller}
        role="log"
        aria-live="off"
        aria-label={strings.conversation}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region needs a tab stop.
        tabIndex={0}
      >
        <div class="log" ref={content}>
          {isEmpty && loaded.value && <Welcome />}
          {turns.map((turn) => (
            <Turn key={turn.turn} turn={turn} />
          ))}
          {pending.map((message) => (
            <Pending key={message.id} message={message} />
          ))}
          {awaited.value && !running.value && (
            <div class="answer">
              <Mark />
              <div class="answer-body">
                <Thinking />
              </div>
            </div>
          )}
          {view.value.status === "handed-over" && <p class="note">{strings.handedOver}</p>}
        </div>
      </div>
      {!follows.value && (
        <button type="button" class="jump" onClick={jump}>
          <LatestIcon />
          {strings.jump}
        </button>
      )}
    </div>
  );
}
