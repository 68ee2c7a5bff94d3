/** The page's frame: header, then the conversation with its input, or the key field where a key is missing. */
import { useEffect } from "preact/hooks";
import { connection, openSource, running, stop } from "../store.ts";
import { Announcer } from "./announcer.tsx";
import { Composer } from "./composer.tsx";
import { Conversation } from "./conversation.tsx";
import { Header } from "./header.tsx";
import { KeyForm } from "./key-form.tsx";

export function App() {
  useEffect(() => {
    // Escape undoes the latest thing: an open source first, then a running answer.
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.isComposing) return;
      if (openSource.peek()) openSource.value = undefined;
      else if (running.peek()) void stop();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const locked = connection.value === "locked";
  return (
    <div class="page">
      <Header />
      {locked ? (
        <main class="locked">
          <KeyForm />
        </main>
      ) : (
        <main class="talk">
          <Conversation />
          <Composer />
        </main>
      )}
      <Announcer />
    </div>
  );
}
