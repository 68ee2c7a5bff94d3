/**
 * Words that do not tell what a question is about: function words, and the verbs and courtesies in which any question
 * is wrapped ("could you please tell me"). Written without diacritics, because words are folded before they are
 * looked up. A language without a list has none: its common words then weigh little through their frequency.
 */
const list = (words: string): ReadonlySet<string> => new Set(words.trim().split(/\s+/));

const ENGLISH = list(`
  a about above after again against ain all almost along already also although always am among an and any anybody
  anyone anything anyway are aren around as at away back be became because become been before being below best better
  between both but by came can cannot cant come comes coming could couldn couldnt did didn didnt do does doesn doesnt
  doing don done dont down during each either else enough etc even ever every everyone everything exactly far few first
  for from further get gets getting give given gives giving go goes going gone gonna good got gotta great had hadn has
  hasn hasnt have haven havent having he hello help helping her here hers herself hey hi him himself his how however i
  id if ill im in into is isn isnt it its itself ive just keep kind know last least less let lets like likely little ll
  long look looking lot lots made make makes making many matter may maybe me mean might mine more most much must my
  myself near need needed needs never new next no nobody none nor not nothing now of off often oh ok okay on once one
  only onto or other others our ours out over own per perhaps please possible possibly probably put quite rather re
  really right same say says see seem seems seen several shall she should shouldn show since so some somebody someone
  something soon still such sure take taken takes taking tell than thank thanks that thats the their theirs them then
  there these they thing things think this those though through till time to today together told tomorrow too took
  toward try trying tried under until up upon us use used using usually ve very via wait waiting want wanted wants
  was wasn way we well went were weren what whats whatever when where whether which while who whole whom whose why will
  with within without won wont would wouldn yes yesterday yet you your yours yourself advise assist assistance ask
  asking explain idea inform information issue issues option options problem problems question
  questions show trouble wonder wondering`);

const DUTCH = list(`
  aan af al alle alleen alles als alsnog altijd ander andere anders ben bent beter bij bijna binnen blijf blijft blijven
  boven bovendien d daar daarna daarvoor dan dank dat de den deze dezelfde die dichtbij dingen dit doe doen doet door
  dus echt een eens eerst eerste eigen eigenlijk elk elke en enige enkele er ergens erg even ga gaan gaat gedaan geef
  geeft geen gegeven geven gewoon ging goed graag ga haar had hadden hallo hartelijk hele heb hebben hebt heeft heel
  helaas hem hen het hetzelfde heus hi hier hij hoe hoeveel hoewel hoi hun iedere iedereen iemand iets ik in is ja je jij
  jou jouw jullie kan kun kunnen kunt kon konden komen komt kom krijg krijgen krijgt laat laatste laten lang liever maar
  maak maakt maken man me mee meer meest meestal men met mij mijn minder misschien moest moet moeten mocht mag mogelijk
  mogen na naar nadat natuurlijk nee neem neemt nemen net niet niets niks nodig nog nooit nou nu of om omdat onder ons
  onze ook op over paar per precies recht rond s sinds snel soms staan staat steeds straks t te tegen ten ter terwijl
  toch toe toen tot tussen u uit uw vaak vaker van vandaag vanaf vanuit vast veel ver verder via volgende
  voor vooral voordat waar waarom waarop wanneer want waren was wat we weer weet weg wel welk welke weten werd werden wie
  wij wil willen wilt worden word wordt wou ze zeg zeggen zegt zeer zelf zelfs zich zie zien ziet zij zijn zit zitten zo
  zoals zoek zonder zou zouden zullen zul zult gisteren morgen help helpen alstublieft alsjeblieft bedankt dankjewel
  optie opties manier manieren mogelijkheden vertel vertellen vraag vragen gebruik gebruiken hulp
  informatie leg uitleg probleem problemen toon tonen`);

const BY_LANGUAGE: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["en", ENGLISH],
  ["nl", DUTCH],
]);
const NONE: ReadonlySet<string> = new Set();

export const stopWordsOf = (language: string): ReadonlySet<string> => BY_LANGUAGE.get(language) ?? NONE;
