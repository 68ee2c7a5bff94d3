/** An empty conversation: a greeting, and questions that show what can be asked. */
import { send } from "../sending.ts";
import { strings } from "../store.ts";

export function Welcome() {
  return (
    <div class="welcome">
      <h2>{strings.welcome}</h2>
      <p>{strings.welcomeText}</p>
      <ul class="suggestions" aria-label={strings.suggestionsLabel}>
        {strings.suggestions.map((question) => (
          <li key={question}>
            <button type="button" class="suggestion" onClick={() => send(question)}>
              {question}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
