/** The few sentences the runtime itself says, in the languages of the shipped demo; English for all others. */
const PHRASES = {
  failed: {
    en: (reference: string) =>
      `Sorry, I could not answer this just now. Please try again in a moment. (Reference ${reference})`,
    nl: (reference: string) =>
      `Sorry, ik kon hier nu geen antwoord op geven. Probeer het zo nog eens. (Referentie ${reference})`,
  },
  stopped: { en: () => "Stopped.", nl: () => "Gestopt." },
} as const;

export function phrase(which: keyof typeof PHRASES, locale: string | undefined, reference = ""): string {
  const language = (locale ?? "en").toLowerCase().startsWith("nl") ? "nl" : "en";
  return PHRASES[which][language](reference);
}
