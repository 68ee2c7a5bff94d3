/**
 * How English and Dutch say that a message is about the speaker, or about what was said before. Patterns see the text
 * in lower case with single spaces and straight apostrophes. None repeats what it repeats, so each is linear.
 */

export interface Wording {
  /** Words that tell the language: articles, pronouns, auxiliaries, question words. */
  readonly function: ReadonlySet<string>;
  /** The answer depends on who asks. */
  readonly personal: readonly RegExp[];
  /** A thing of the speaker that stands for anybody's: what if my parcel is lost, is my data safe. */
  readonly supposed: RegExp;
  /** Asks how something is done: the answer is the same for all, also where the thing is the speaker's own. */
  readonly procedure: RegExp;
  /** The speaker's own thing is to be shown now; personal unless a procedure is asked. */
  readonly show: RegExp;
  /** The speaker's own thing is to be changed now; personal unless a procedure or help with it is asked. */
  readonly change: RegExp;
  readonly help: RegExp;
  /** Asks for a person instead of an answer. */
  readonly person: RegExp;
  /** Greets, thanks, ends: nothing is asked. */
  readonly smallTalk: RegExp;
  /** Tells the bot how to behave from now on. */
  readonly instruction: RegExp;
  /** Asks something or for something, question mark or not. */
  readonly asks: RegExp;
  /** Begins by continuing what was said before, or is nothing but a question word or a comparison. */
  readonly continues: RegExp;
  /** Uses of the words below that refer to nothing before; they are taken out first. */
  readonly empty: RegExp;
  /** Refers to something named before. */
  readonly refers: RegExp;
  /** Something that a later word of the same sentence can refer to, and a new clause after it. */
  readonly antecedent: RegExp;
}

const words = (list: string): ReadonlySet<string> => new Set(list.split(" "));

const EN_COURTESY =
  "(hi|hy|hey|hello|hallo|yo|good (morning|afternoon|evening|day)|greetings|thank you|thanks?|thx|ty|ok|okay|k|great|perfect|cool|nice|bye|goodbye|see you|have a (nice|good) day|you're welcome|no problem|how are you|are you there|anyone there|well done|awesome)( (there|all|team|sir|madam|everyone|very much|so much|a lot|again|for (your|the) help|bye))?";
const NL_COURTESY =
  "(hoi|hallo|hey|hai|dag|goede ?(morgen|middag|avond|dag)|goeie ?(morgen|middag|avond)|bedankt|dank(je| je| u|u)?( wel)?|dankjewel|dankuwel|top|super|prima|oke|oké|ok|fijn|mooi|doei|tot ziens|graag gedaan|fijne dag|hoe gaat het|ben je er)( (allemaal|team|daar|nog|hoor|alvast|voor (je|jullie|de) hulp))?";
const INTERJECTION =
  "oh|ah|aha|hm+|uh+m?|um|wow|well|alright|fine|i see|got it|understood|clear|sorry|excuse me|actually|by the way|btw|please|nou|tja|begrepen|snap ik|duidelijk|helder|trouwens|overigens|eigenlijk|alsjeblieft|alstublieft";

/** With what a message may begin before it says what it is about: it must not hide that the rest continues something. */
export const OPENING = new RegExp(
  `^(?:(?:${EN_COURTESY}|${NL_COURTESY}|${INTERJECTION})(?!['-]?[\\p{L}\\p{N}])[^\\p{L}\\p{N}]*)+`,
  "u",
);

const EN_THING =
  "(orders?|parcels?|packages?|shipments?|deliver(?:y|ies)|items?|purchases?|refunds?|returns?|payments?|invoices?|bills?|receipts?|accounts?|balance|subscriptions?|bookings?|reservations?|tickets?|cards?|money|amount|address|phone|email|password|profile|details|data|points|contract|transfers?|top-?ups?|voucher|credit|tracking|transactions?|stuff|belongings|applications?|complaints?|requests?|claims?|appointments?|memberships?|trial|seats?|tier|plan|referrals?)";
const EN_MY = `(my|our) ([\\w'-]+ ){0,2}${EN_THING}`;

export const ENGLISH: Wording = {
  function: words(
    "a an the my your our their i you we he she it they is are was were be been do does did have has had can could will would should may might what when where which who why how to of for with from if not there this that these those and or but me any about on at in please want need",
  ),
  personal: [
    // Where mine is, whether it came, what mine is.
    new RegExp(
      `\\b(where|when|what|has|have|had|is|are|was|were|did|does|will|why|whether)(?:'s|s|'re| is| are| was| were| will| does| did| has| have| isn't| hasn't| can't i (see|find))? ${EN_MY}\\b`,
    ),
    new RegExp(`\\b(when|will|did)\\b.*\\b${EN_MY}`),
    new RegExp(`\\b(where|when) (is|will|does|did|was) (the|this) ${EN_THING}\\b`),
    /\b(who am i|(what is|what's|what was|know|remember) my (first |last |full )?name|(know|remember) (me|who i am))\b/,
    /\bhow much (do|did) (i|we) (still )?(owe|spend|have left)\b|\bhow many [\w'-]+ (do|have) (i|we) (still )?(have|got|left|earned)\b(?! to)/,
    /\bam i (still |already |now )?(subscribed|registered|verified|eligible|entitled|insured|covered)\b|\bdo i qualify\b/,
    /\b(what|which) [\w'-]+ (am i (on|in)|do i have)\b(?! to)/,
    /\byou (charge|bill|answered) (me|us)\b|\bwhen will (i|we) be (paid|refunded|called|contacted)\b/,
    /\bwhat('s| is) the (status|progress) (of|on|for) (my|our)\b|\b(has|have) (any|some)(one|body) [a-z]+ (at |into |to )?(my|our)\b/,
    /\bleft (on|in|of) (my|our)\b|\b(with|on|given|for) my (income|salary|credit score|situation)\b/,
    /^(please )?(book|reserve|remind|unsubscribe|register) (me|us)\b|^(please )?(book|reserve) .* for (me|us)\b/,
    /\bnot (yet |been |yet been )?(received|delivered|arrived|shipped|reached|refunded|credited|processed)\b/,
    /\b(where|when) (is|are|will|do|does|did|can) (i|we) (get|receive|be (getting|receiving))\b/,
    // What happened to me.
    /(?<!\b(?:an?|any|some) (?:[\w'-]+ )?(?:items?|products?|articles?|gifts?|goods|things?)(?: that| which)? )\b(i|we)(?:'ve| have| had| did|'d)?(?: not|n't)? ?(already |just |never |still |recently |only )?(ordered|received|paid|bought|purchased|placed|sent|returned|got(?! to\b)|cancelled|canceled|waited|been|was (over)?charged|was billed|were (over)?charged)\b/,
    /\b(i|we) (still )?(haven't|havent|hasn't|hadn't|didn't|didnt|did not|have not|am not|never) (yet )?(receiv|get|got(?! to)|order|paid|pay|hear|be)/,
    /\b(i am|i'm|im|we are|we're) (still |now )?(waiting|expecting)\b/,
    new RegExp(
      `\\b${EN_MY} (is|was|are|were|has|have|had|hasn't|haven't|isn't|wasn't|did|didn't|does|doesn't|got|never|still|failed|arrived|shows?|says?|contained|came)\\b`,
    ),
    /\b(charged|billed|deducted|debited|stolen|blocked) (me|us|my|twice|from)\b/,
    /\bdid (i|we) (order|buy|pay|purchase|book|receive|choose|spend)\b/,
    /\b(there(?:'s| is| are| was| were)|(is|are|was|were) there)\b.*\b(on|from|in) (my|our) /,
    // What was done by you, or by who brings it.
    /\byou(?:'ve| have| had)? ?(just |already |still |only |never )?(sent|shipped|charged|billed|delivered|gave|refunded|owe)\b|\byou(?:'ve| have| had)? ?(just |already )?(cancelled|canceled|closed|deleted|changed) (me|us|my|our)\b/,
    /\b(courier|driver|delivery (man|guy|person)|postman|mailman) (never|has|had|hasn't|was|wasn't|is|isn't|left|did|didn't|came|threw|refused|says|said)\b/,
    // Who I am.
    /\b(my|our) (full |last |first |home |e-?mail |phone |mobile |order |customer |client |account |reference |tracking |invoice )*(name|address|number|no|id|e-?mail|phone|iban) (is|was|:)/,
    /\b(i am|i'?m) (an? )?\d+( (years|yrs)|,)|\bi am (pregnant|diabetic|allergic|ill|sick)\b/,
    /\b(call|contact|e-?mail|text|notify|reach) me (at|on|by|when|back)\b/,
  ],
  supposed:
    /(?<=\b(what (happens|if|should i do|do i do|can i do|to do)( if| when)?|how (do|can) i (know|see|check|tell|find out) (if|whether|that|when)) )my\b|\bmy(?= (personal )?(data|details) (safe|secure|private|protected|shared|stored|sold|kept|encrypted)\b)/g,
  procedure:
    /\b(how (can|do|does|to|could|should|would|may|i|we|long|much|many)|where (can|do|could|to|should)|(can|could|may) (i|we|customers|people)|is it possible|am i able|what (do|should|must|can) i|(not|n't|dont) know (how|what|where)|what (is|are|'s) (the|your|an?)|why (do|would|should) (you|i|we) (need|have|want|ask)|steps|ways? to|procedure|process|instructions|guide|policy|explain|difference|possible|allowed|options?)\b/,
  show: new RegExp(
    `\\b(track|tracking|show|check|see|find|give me|send me|tell me|get|view|locate|confirm|verify|know|need|want)( me)? (about )?(?:the (status|progress) of )?${EN_MY}\\b|\\b(order|orders|delivery|shipment|refund|payment|parcel|package|account)('s)? (status|progress|balance)\\b|\\b(status|progress) (of|for|on) ([\\w'-]+ ){0,2}${EN_THING}|\\btracking (id|number|no|code|link|details|info|information)\\b`,
  ),
  change: new RegExp(
    `\\b(cancel|change|update|edit|modify|return|refund|exchange|delete|remove|close|resend|replace|correct|fill|take)(ing)? (the ([\\w'-]+ ){1,2}(of|on|for|in) )?${EN_MY}\\b`,
  ),
  help: /\b(help|assist|assistance|support|trying to|guide)\b/,
  person:
    /\b(speak|talk|chat|connect|transfer|speaking|talking|chatting)( me)? (to|with) (a |an |the |your |some ?)?(real |live |human |customer |support |service |care )*(human|person|agent|agents|people|representative|rep|someone|somebody|one|operator|advisor|adviser|employee|expert|staff|manager|supervisor|team|executive)\b|^(a )?(real|live|human) (person|human|agent|being)\b|\b(human|live) (agent|support|help)\b|^(agent|human|representative|operator)$/,
  smallTalk: new RegExp(`^(${EN_COURTESY}[ ,.!?]*){1,4}$`),
  instruction:
    /\b(from now on|remember that (i|my|we)|ignore (all|the|any|your|previous|every)|forget (all|the|everything|your)|pretend|act as|you are now|roleplay|role-play|(always|only|please|just)? ?(answer|reply|respond|write|speak|say|talk)( me)? (only|always|in|as|like|with|that|everything|to (every|all))|system prompt|your instructions|repeat after me|translate)\b/,
  asks: /\b(what|how|when|where|why|which|who|whose|can|could|do you|do i|do we|does|did|is (it|there|the|a|my)|are (you|there|the|my)|will|would you|should|may i|(want|need|like|love) to|tell me|explain|show|help|give me|wondering|looking for)\b/,
  continues:
    /^((and|but|or|so|also|then|yes|yeah|yep|no|nope|nah|ok|okay|sure|right|correct|exactly|what about|how about|what if(?! (my|an?) )|really|same|again|another|anything else|what else|which ones?|instead|for example|in that case|if so|if not|otherwise|only|not|just|with|without|by|about|because|maybe)\b|(why|why not|how|how come|how so|when|where|who|which|how much|how many|how long|how often|since when|until when|more|tell me more|go on|continue|like what|else|the (first|second|third|last|other|next|former|latter|same|cheaper|cheapest|bigger|smaller|red|blue|green|black|white)( ones?)?|(for|to|in|at|on|from|during) (?!(which|what|how|whom)\b)[^ ]+( [^ ]+){0,2}|(still )?not working( yet| still)?|what do you mean( by that| exactly)?|i (don't|do not|dont) (understand|follow|get it)( that)?|(are )?you (really |absolutely )?(sure|certain|serious)|(please )?explain( further| again| more)?|which (is|are) (the )?((more|less|most|least) [a-z]+|better|worse|best|worst|[a-z]+(er|est))|(what(?:'s| is| are| will be)|are there|is there) (the |any )?(total )?(prices?|costs?|total|sizes?|colou?rs?|weight|difference|alternatives?|exceptions?|conditions?|deadline|limit|(other |more )?options?))$)/,
  empty:
    /\b(is|was|would|will|isn't|if) it (be |also |still |too |really )?(possible|necessary|required|allowed|mandatory|safe|free|okay|ok|better|worth|true|normal|legal|late|going to (rain|snow)|raining|snowing|cold|hot|warm|sunny|cloudy)( to| that| if| for)?\b|\b(does|do|did|will|would|can|could) it (usually |normally |typically |generally )?(take|cost) (extra |more |less |much |anything |money |something |long |longer )?(to|for|before|until|you|me)\b|\bit (usually |normally |typically |generally )?(takes|will take|would take|costs|is possible|is necessary|be possible)\b|\bhow long (does|will|would|do) it (usually |normally |typically |generally )?take\b|\bmake it (possible|easy|hard|clear)\b|\bwhat (time|day) is it\b|\bhow (hot|cold|warm|humid|windy) (is|was|will|does) it\b|\b(is|are|was|were|will|isn't|aren't|if|know|think|say|says|see|check) there( be)?\b|\bthere('s|s| is| are| was| were| will)\b|\bthis (week|month|year|weekend|morning|afternoon|evening|summer|winter|spring|autumn|season|christmas|site|website|web site|shop|store|webshop|chat|company|bot|service|page|app|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b|\b(true|sure|say|says|know|mean|think|see|so|show|hope|guess|ensure|confirm|way) that\b|\bnow that\b|\b(some|any|every)(one|body) else\b/g,
  refers:
    /\b(it|its|it's|mine|yours|they|them|their|theirs|they're|those|these|this|he|she|him|his|her|there|both|either|neither|former|latter|instead|too(?! [a-z])|the same|such|the one|the ones|that one|this one|which one|the other|previous|earlier|you (said|say|mentioned|told|just)|as i said|i (said|mentioned|told you|just said))\b|^that('s| |$)|\b(is|was|does|did|do|will|would|can|could|about|for|with|of|on|to|like|after|before|than|by|if|all|at|mean|using|from|in|not) that\b(?! (i|you|we|the|my|your|are|is|was)\b)|\bthat$|\babout the (first|second|third|last|other)$|\bones\b|\bone(?= (in|with|for|from|at|on|that|which|is|are|was|do|does|have|has|costs?|fits?|works?|can|would|will|should)\b|$)|\b(any|some|more|less|fewer|others|another|none)(?= (in|with|for|from)\b|$)|\belse\b|\b(then|so|next)$|\bi meant?\b|\ban example$|\b(explain|say|repeat|describe)\b.* (again|in (simpler|other|easier) (words|terms))\b|\bthe (first|second|third|last|next|other|previous|larger|smaller|bigger|cheaper) (option|one|choice|size|colou?r|model|version|variant)s?\b|\ba [a-z]+er (option|choice|size|version|variant|alternative)\b(?! (of|for|than|in)\b)|\b(the|your|that) answer\b/,
  antecedent:
    /\b(a|an|the|my|our|your|any|some|an?other|each|every|items?|products?|articles?|orders?|goods) [\w'-]+.*(,|;|\.| (if|when|before|after|and|because|once|while|but|or|until|so|where|which|who|how|what|why|can|could|will) )/,
};

/** With what a message ends after it has said what it is about. */
export const CLOSING = /[ ,]+(please|pls|thanks|thank you|graag|aub|a\.u\.b|alsjeblieft|alstublieft)$/u;

/** Function words of other languages that share some with English or Dutch: more of these, and it is neither. */
export const FOREIGN: ReadonlySet<string> = words(
  "der das und ist nicht ich sie wir ihr mein meine meinen mit für auf wie lange wo wann kann können habe bitte zu den dem ein eine le la les des est et je vous votre mon ma mes pour avec quelle quel quels où du un une el los las es y mi su para con cómo dónde cuánto cuándo por qué il lo gli di che per come dove quando mio o os as um uma meu minha não och är jag det att og er jeg",
);

const NL_THING =
  "(bestelling(?:en)?|orders?|pakket(?:je|ten|jes)?|zending(?:en)?|levering|artikel(?:en)?|aankoop|terugbetaling|retour(?:zending)?|geld|betaling(?:en)?|factu(?:ur|ren)|rekening|bon|account|saldo|abonnement|boeking|reservering|ticket|pas|adres|telefoon|e-?mail(?:adres)?|wachtwoord|profiel|gegevens|punten|contract|overboeking|tegoed(?:bon)?|kaart(?:en)?|afschrijving(?:en)?|bezorging|klacht(?:en)?|spul(?:len)?|aanvraag|verzoek|claim|afspraak|lidmaatschap|proefperiode|zitplaats|track ?(?:&|and|en) ?trace)";
const NL_MY = `(mijn|m'n|mn|onze|ons) ([\\w'-]+ ){0,2}${NL_THING}`;

export const DUTCH: Wording = {
  function: words(
    "de het een mijn je jouw uw jullie ons onze ik jij hij zij wij we u is zijn waren ben bent heb hebt heeft hebben had kan kunnen kun zal zullen zou moet mag wil wat wanneer waar welke waarom hoe hoelang hoeveel om van voor met naar bij op als niet er dit dat deze en of maar mij me nog ook worden wordt graag aan te",
  ),
  personal: [
    new RegExp(
      `\\b(waar|wanneer|wat|is|zijn|was|waren|heeft|hebben|komt|komen|wordt|worden|krijg|loopt|eindigt|begint|waarom|hoezo|of)( is| zijn| was| blijft| blijven| wordt| worden| komt| komen| krijg ik| staat)? ${NL_MY}\\b`,
    ),
    new RegExp(
      `\\b(waar|wanneer) (is|zijn|was|blijft|komt|komen|wordt|worden) (de|het|dit|deze) ${NL_THING}\\b`,
    ),
    /\b(wie ben ik|hoe heet ik|(wat is|weet je|ken je) mijn naam|(ken|herken) (je|jij|u) (mij|me))\b/,
    /\bhoeveel (moet|ben) (ik|wij|we) (je |jullie |u )?(nog|verschuldigd|schuldig)\b|\bhoeveel [a-z]+ (heb|hebben) (ik|wij|we)( nog| al)?[?!. ]*$/,
    /\bben ik (nog|al|nu) |\bkom ik in aanmerking\b|\bheb ik (al|ooit) |\bwelke? [a-z]+ heb ik( nu| nog)?[?!. ]*$|\bwanneer word ik\b|\bwat is de status van (mijn|onze)\b/,
    /\b(met|van|gezien) mijn (inkomen|salaris|situatie)\b|\bmijn geld terug[?!. ]*$/,
    /^(meld|schrijf) (mij|me|ons) |^(boek|reserveer) .*\b(mij|me|ons)\b/,
    new RegExp(`\\bzeg ${NL_MY} op\\b`),
    /\b(nog )?niet (ontvangen|aangekomen|geleverd|bezorgd|verzonden|terugbetaald|gekregen)\b/,
    /\b(wanneer|waar) (krijg|ontvang) (ik|wij|we)\b/,
    /\b(ik|wij|we) (heb|hebben|had|hadden|ben|zijn)\b.*\b(besteld|ontvangen|gekregen|betaald|gekocht|geplaatst|gestuurd|verstuurd|verzonden|teruggestuurd|geretourneerd|geannuleerd|gewacht|gebeld|gemaild|afgeschreven)\b/,
    /\b(heb|hebben|had|hadden) (ik|wij|we)\b.*\b(besteld|ontvangen|gekregen|betaald|gekocht|geplaatst|gestuurd|verstuurd|verzonden|teruggestuurd|geretourneerd|geannuleerd)\b/,
    /\b(ik|wij|we) (kreeg|kregen|ontving|ontvingen|bestelde|bestelden|kocht|kochten|betaalde|betaalden|stuurde|stuurden|retourneerde|retourneerden|annuleerde|annuleerden)\b|\b(ik|wij|we) (krijg|krijgen) nog\b|\b(niets|niks|geen)\b.*\b(gehoord|vernomen)\b/,
    /\b(ik|wij|we) (wacht|wachten|verwacht|verwachten)\b/,
    new RegExp(
      `\\b${NL_MY} (is|was|zijn|waren|wordt|worden|werd|heeft|hebben|had|kwam|komt|blijft|bleef|werkt|doet|staat|zit|ligt|bleek|mislukte?|klopt)\\b`,
    ),
    /\b(afgeschreven|in rekening gebracht)\b.*\b(mij|me|mijn|ons)\b|\b(mij|me|ons)\b.*\b(afgeschreven|in rekening gebracht)\b|\b(twee ?keer|tweemaal|dubbel)\b.*\bafgeschreven\b/,
    /\b(er (is|zijn|was|waren|werd|werden|staat|staan)|(is|zijn|werd|werden|staat|staan) er)\b.*\b(op|van) (mijn|onze)\b/,
    // What was done by you, or by who brings it, and what you are asked to do with mine.
    /\bjullie (stuurden|leverden|bezorgden|rekenden|schreven|annuleerden|blokkeerden)\b|\bjullie (hebben|hadden)\b.*\b(gestuurd|verstuurd|verzonden|geleverd|bezorgd|afgeschreven|gerekend|terugbetaald|geannuleerd|geblokkeerd|gesloten|verwijderd)\b/,
    new RegExp(
      `\\b(heb|heeft|hebben|hebt) (je|jij|u|jullie) ((mijn|onze|ons) ([\\w'-]+ )?e?-?mail|${NL_MY})\\b`,
    ),
    new RegExp(
      `\\b(kan|kun|kunt|kunnen|wil|wilt|willen|zou|zouden) (je|jij|u|jullie) ${NL_MY}\\b.*\\b(annuleren|wijzigen|veranderen|aanpassen|verwijderen|sluiten|retourneren|ruilen|terugbetalen|opzoeken|controleren|nakijken|checken|sturen|opsturen|doorsturen)\\b`,
    ),
    /\b(bezorger|koerier|chauffeur|postbode) (is|was|heeft|had|kwam|stond|belde)\b/,
    /\b(mijn|onze) ([\w-]+ )?(naam|adres|nummer|ordernummer|bestelnummer|klantnummer|klantnr|telefoonnummer|e-?mail(adres)?|postcode|iban) (is|was|:)/,
    /\bik ben \d+( jaar|,)|\bik ben (zwanger|diabeet|allergisch|ziek)\b|\bik heet\b/,
    /\b(bel|mail|app|contacteer|informeer) (mij|me|ons)\b/,
  ],
  supposed:
    /(?<=\b(wat (als|gebeurt er als|moet ik doen als|doe ik als|kan ik doen als)|hoe (weet|zie|check|controleer) ik (of|dat)) )mijn\b|\bmijn(?= (persoons)?gegevens (veilig|beveiligd|versleuteld|gedeeld|opgeslagen|bewaard)\b)/g,
  procedure:
    /\b(hoe (kan|kun|moet|werkt|doe|lang|veel|vaak|wijzig|annuleer|retourneer|verander|betaal|bestel)|hoe [a-z]+ (ik|je|we|wij|men)|hoelang|hoeveel|waar (kan|kun|moet|vind)|kan (ik|je|men)|kun (je|jij)|kunnen (we|wij|jullie|klanten)|mag (ik|je)|is het mogelijk|wat (moet|kan) (ik|je)|wat (is|zijn) (de|het|jullie|uw)|(weet niet|geen idee) (hoe|wat|waar)|stappen|manier|procedure|beleid|voorwaarden|mogelijk|toegestaan|opties)\b/,
  show: new RegExp(
    `\\b(volg|toon|laat|bekijk|check|controleer|zoek|geef|stuur|weten|zie|zien|volgen)\\b.*\\b${NL_MY}\\b|\\b${NL_MY} (volgen|zien|bekijken)\\b|\\bstatus van ([\\w'-]+ ){0,2}${NL_THING}|\\b(bestel|betaal|order|leverings?|retour)status\\b|\\btrack ?(&|and|en) ?trace\\b`,
  ),
  change: new RegExp(
    `\\b(annuleer|wijzig|verander|retourneer|ruil|verwijder|sluit|annuleren|wijzigen|veranderen|retourneren|ruilen)\\b.*\\b${NL_MY}\\b|\\b${NL_MY} (annuleren|wijzigen|veranderen|retourneren|ruilen|verwijderen|sluiten|aanpassen)\\b`,
  ),
  help: /\b(help|helpen|hulp|uitleg|ondersteuning)\b/,
  person:
    /\b(spreken|praten|chatten|verbonden|contact|verbind|doorverbinden|doorverbonden)\b.*\b(met|door) (een |de |jullie |iemand|echt)*(mens|medewerker|persoon|iemand|collega|klantenservice|agent|adviseur)\b|\b(een )?(mens|medewerker|persoon|iemand|collega) (spreken|aan de lijn)\b|^(een )?(echte |echt )?(mens|medewerker|persoon)$/,
  smallTalk: new RegExp(`^(${NL_COURTESY}[ ,.!?]*){1,4}$`),
  instruction:
    /\b(vanaf nu|onthoud dat (ik|mijn|we)|negeer (alle|de|alles|je|vorige)|vergeet (alles|alle|je)|doe alsof|gedraag je|je bent nu|(antwoord|reageer|schrijf|praat|zeg)( mij| me)? (alleen|altijd|in het|als|met|op alles)|systeemprompt|je instructies|herhaal|vertaal)\b/,
  asks: /\b(wat|hoe|hoeveel|hoelang|wanneer|waar|waarom|welke?|wie|wiens|kan|kun|kunnen|kunt|mag|moet|hebben jullie|heb je|heeft|is (het|er|de|een|mijn)|zijn (jullie|er|de|mijn)|zal|zullen|wil|willen|wou|vertel|leg|toon|help|geef|zoek)\b/,
  continues:
    /^((en|maar|of|dus|ook|dan|ja|jawel|nee|neen|oke|oké|ok|prima|klopt|precies|juist|echt|nogmaals|nog|anders|(de)?zelfde|hetzelfde|wat nog meer|welke dan|hoe dan|hoe zit (het|dat)|hoe zit 't|wat dacht je van|wat als(?! (mijn|een) )|zoals|in dat geval|zo ja|zo nee|alleen|niet|met|zonder|door|over|want|omdat|misschien)(?![\p{L}\p{N}])|(waarom|waarom niet|hoezo|hoe|wanneer|waar|wie|welke|hoeveel|hoelang|hoe lang|hoe vaak|sinds wanneer|tot wanneer|meer|vertel meer|ga door|de (eerste|tweede|derde|laatste|andere|volgende|goedkopere|goedkoopste|grotere|kleinere|rode|blauwe|groene|zwarte|witte)|(voor|naar|in|op|bij|uit|vanuit|vanaf|tijdens) (?!(welke?|wat|hoe|wie)\b)[^ ]+( [^ ]+){0,2}|werkt (nog (steeds |altijd )?)?niet|wat bedoel (je|u)( precies| daarmee)?|(ik )?(snap|begrijp) (het |dat |je )?niet( helemaal)?|weet (je|u)( het| dat)?( heel)? zeker|leg (het |dat )?uit|welke (is|zijn) (de |het )?(beter|beste?|[a-z]+(er|ste?))|(wat (is|zijn|wordt|worden)|(zijn|is) er)( dan| ook| nog| wel)* (de |het |een )?(totale )?(prijs|kosten|totaal|maat|maten|kleur|kleuren|gewicht|verschil|alternatieven?|uitzondering(en)?|voorwaarden|deadline|limiet|(andere |meer )?opties?))$)/u,
  empty:
    /\b(is|was|wordt|zou|of) het (ook |nog |te |wel )?(mogelijk|nodig|verplicht|toegestaan|veilig|gratis|beter|waar|normaal|laat|koud|warm|heet)( om| dat| als)?\b|\b(duurt|kost|gaat|kan) het (ongeveer |meestal |normaal |gemiddeld |nog )?(voor|voordat|om|regenen|sneeuwen|zijn om)\b|\bhet (duurt|regent|sneeuwt|is mogelijk|mogelijk is)\b|\bhoe ?lang duurt het\b|\bhoe (laat|heet|koud|warm) is het\b|\b(is|zijn|was|waren|worden|wordt|kan|kunnen|staat|staan|komt|komen|gebeurt) er\b|\b(zit|zitten|hoort|horen|bestaat|bestaan|geldt|gelden) er\b(?!.* (op|in|aan|bij|mee|van|voor|onder)$)|\bals er (niemand|iemand|geen)\b|\ber (is|zijn|was|waren|wordt|worden|staat|staan)\b|\b(deze|dit) (week|maand|jaar|weekend|ochtend|middag|avond|zomer|winter|lente|herfst|seizoen|site|website|winkel|webwinkel|shop|webshop|chat|bot|bedrijf|pagina|app|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag)\b|\b(weten|denk|zeker|zorgen|zo|zeg|wist|hoop|bevestigen) dat\b/g,
  refers:
    /\b(deze|dit|de mijne|daar|daarvan|daarmee|daarvoor|daarna|daarbij|daarop|daarover|ervan|ermee|ervoor|erbij|erop|erover|hem|zij|ze|hen|hun|hij|dezelfde|hetzelfde|zoiets|zulke|allebei|beide|eerder|vorige|je (zei|zegt|noemde)|zoals ik zei|ik zei)\b|\bhet( dan| niet| ook| wel| nog| al| toch| even)*$|(?<!\b(na|voor|bij|door|tijdens|van) )\bhet( dan| niet| ook| wel| nog| al| toch| even| terug)* [a-z]+en$|^(dat|die)\b|\b(is|kan|kost|werkt|doet|doe|gaat|geldt|moet|mag|wil|voor|met|van|over|bij|op|naar|ik|je|hoe|wanneer|waar|als) (dat|die)\b|\b(dat|die)$|\bover de (eerste|tweede|derde|laatste|andere)$|\ber\b|\b(wordt|worden|zou|duurt) (dat|die)\b|\bik bedoel(de)?\b|\been voorbeeld( geven| noemen)?$|\b(nog eens|nogmaals|nog een keer|opnieuw) (uitleggen|zeggen|vertellen|herhalen)\b|\bin (simpelere|makkelijkere|andere) woorden\b|\bde (eerste|tweede|derde|laatste|andere|volgende|vorige|grotere|kleinere|goedkopere) (optie|keuze|maat|kleur|versie|variant)\b|\bde (eerste|tweede|derde|laatste|andere) (duren|kosten|worden|zijn)$|\been [a-z]+ere (optie|keuze|maat|versie|variant)\b(?! (van|voor|dan|in)\b)|\bdan doen$|\bmaakt het (iets |wat )?uit\b|\b(het|je|jullie|dat) antwoord\b/,
  antecedent:
    /\b(een|de|het|mijn|onze|jullie|artikelen|producten|bestellingen) [\w'-]+.*(,|;|\.| (als|wanneer|voordat|nadat|en|omdat|zodra|terwijl|maar|of|totdat|zodat|waar|die|hoe|wat|waarom|kan|kun) )/,
};
