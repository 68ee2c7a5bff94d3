/** The few sentences the runtime itself says, in the languages of the shipped demo; English for all others. */
const PHRASES = {
  failed: {
    en: (reference: string) =>
      `Sorry, I could not answer this just now. Please try again in a moment. (Reference ${reference})`,
    nl: (reference: string) =>
      `Sorry, ik kon hier nu geen antwoord op geven. Probeer het zo nog eens. (Referentie ${reference})`,
  },
  stopped: { en: () => "Stopped.", nl: () => "Gestopt." },
  refused: {
    en: () =>
      "Sorry, so many people are asking right now that I cannot begin new conversations. Please try again in a few minutes.",
    nl: () =>
      "Sorry, er zijn nu zoveel vragen dat ik geen nieuwe gesprekken kan beginnen. Probeer het over een paar minuten opnieuw.",
  },
  extract: {
    en: () => "It is very busy right now, so this is quoted from our documents.",
    nl: () => "Het is nu erg druk, dus dit is een citaat uit onze documenten.",
  },
  noExtract: {
    en: () =>
      "It is very busy right now and I could not find this in our documents. Please ask again in a few minutes.",
    nl: () =>
      "Het is nu erg druk en ik kon dit niet in onze documenten vinden. Stel je vraag over een paar minuten opnieuw.",
  },
} as const;

export function phrase(which: keyof typeof PHRASES, locale: string | undefined, reference = ""): string {
  const language = (locale ?? "en").toLowerCase().startsWith("nl") ? "nl" : "en";
  return PHRASES[which][language](reference);
}
