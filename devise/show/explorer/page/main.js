// The page: address -> question -> answers -> grid; each part does its own drawing.
import * as api from "./api.js";
import * as box from "./box.js";
import * as detail from "./detail.js";
import { by, count, make, percent, settle, show } from "./dom.js";
import * as filters from "./filters.js";
import { quote, storedTerm } from "./grammar.js";
import { Grid } from "./grid.js";
import * as own from "./own.js";
import * as state from "./state.js";
import { thumbnail } from "./thumbnail.js";
import * as token from "./token.js";

const KEEP_PLACE_MS = 200;

let live = null;      // what the server said of the corpus
let asked = null;     // the state whose answers are shown
let answer = null;    // its first page, without the hits that the grid holds
let asking = new AbortController();
let paging = null;    // the page that is being fetched
let opened = null;    // id of the picture that is or was open last
let retry = null;     // what `Try again` does

const grid = new Grid(by("grid"), actOnTile);
const nearEnd = new IntersectionObserver(([seen]) => { if (seen.isIntersecting) more(); }, { rootMargin: "600px" });

/** Asks something else: puts the change into the address, and follows it there. The open picture closes. */
function go(change, replace = false) {
  keepPlace();
  state.write({ ...state.read(), image: "", ...change }, replace);
  follow();
}

/** Another question; a least score belongs to the one before. */
const ask = (q) => go(q ? { q, least: "" } : state.unfiltered({ q }));

/** On from an answer: the places and days that are looked at stay, what belongs to the question before goes. */
const onward = (q) => go({ q, label: "", least: "" });

/** Brings the page to what the address says. */
function follow() {
  const wanted = state.read();
  box.fill(wanted.q);
  box.draw(ask);
  filters.draw(wanted, go);
  if (!wanted.image && by("detail").open) closeDetail();
  if (!asked || !state.same(wanted, asked)) run(wanted);
  else if (wanted.image) openDetail(wanted.image);
}

async function run(wanted) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking, place = history.state, walked = by("grid").contains(document.activeElement);
  [asked, answer, paging] = [wanted, null, null];
  box.say("");
  own.draw(wanted.q, (label) => ask(quote(label)));
  drawDownload(wanted);
  for (const id of ["trouble", "nothing", "start", "chips", "more"]) show(by(id), false);
  by("question").textContent = wanted.q ? box.told(wanted.q) : "Explorer";
  document.title = wanted.q ? `${box.told(wanted.q)} – Explorer` : "Explorer";
  if (!wanted.q) return drawStart(wanted);
  grid.wait();
  by("count").textContent = "";
  try {
    const found = await api.search(state.asked(wanted), 0, signal);
    if (signal.aborted) return;
    draw(found, wanted);
    if (found.publication !== live.publication) learnAnew();
    await restore(place, signal);
    if (wanted.image) openDetail(wanted.image);
    else if (walked) grid.focus(place?.at ?? 0, { preventScroll: true });
  } catch (error) {
    refuse(error, () => run(state.read()));
  }
}

function draw({ hits, ...found }, wanted) {
  answer = found;
  grid.fill(hits);
  filters.drawAnswer(found, wanted, go);
  drawCount();
  show(by("nothing"), found.total === 0);
  by("nothing").firstElementChild.textContent = found.total ? "" : found.told ?? "Nothing fits.";
  show(by("nothing").lastElementChild, Object.keys(wanted).some((name) => name !== "q" && name !== "image" && wanted[name]));
  drawMore();
  const how = found.exact ? "compared exactly" : `by an index${found.recall === null ? "" : ` that finds ${percent(found.recall)} of the nearest`}`;
  by("publication").textContent = `Publication ${found.publication}, run ${found.run}; ${how}`;
}

function drawCount() {
  const { total, told } = answer;
  const counted = total === 1 ? "1 picture" : `${count(total)} pictures, the nearest first`;
  by("count").replaceChildren(...(total ? [counted] : []), ...(told && total ? [". ", make("span", { className: "told" }, told)] : []));
}

function drawMore() {
  const left = answer.total - grid.hits.length;
  show(by("more"), left > 0);
  by("more").textContent = `${Math.min(100, left)} more of ${count(answer.total)}`;
  nearEnd.unobserve(by("more"));   // it tells of changes alone, and a tall window may still show the end
  nearEnd.observe(by("more"));
}

/** The next page of answers; all of them anew if the corpus was published in between. */
function more() {
  if (!answer || grid.hits.length >= answer.total) return null;
  paging ??= fetchMore().finally(() => { paging = null; });
  return paging;
}

async function fetchMore() {
  const { signal } = asking;
  try {
    const next = await api.search(state.asked(asked), grid.hits.length, signal);
    if (signal.aborted) return;
    if (next.publication !== answer.publication) {
      tell(`The corpus was published anew (publication ${next.publication}): these are its answers.`);
      scrollTo(0, 0);
      await run(asked);
      return;
    }
    grid.append(next.hits);
    drawMore();
  } catch (error) {
    refuse(error, more);
  }
}

function keepPlace() {
  if (answer) state.keepPlace(grid.hits.length, grid.at, scrollY);
}

/** As many tiles, and the place among them, as when the person left this entry of the history. */
async function restore(place, signal) {
  while (place?.shown > grid.hits.length && grid.hits.length < answer.total && !signal.aborted && by("trouble").hidden) await more();
  if (!signal.aborted) scrollTo(0, place?.top ?? 0);
}

function refuse(error, again) {
  if (error.name === "AbortError") return;
  if (!(error instanceof api.Refused)) throw error;
  if (answer) {
    grid.rest();
    drawCount();
  } else {
    grid.fill([]);
    by("count").textContent = "";
    asked = null;   // so that asking the same again asks it
  }
  if (error.status === 401) return token.ask();
  if (error.status === 422 && !answer) {   // the question is at fault: words to begin with are offered instead
    show(by("start"));
    learnAnew();   // it may be of a publication that has another table less
    return box.say(error.message);
  }
  show(by("trouble"));
  by("trouble").firstElementChild.textContent = error.message + (error.wait_s ? ` Come again in ${error.wait_s} s.` : "");
  retry = again;
}

function tell(line) {
  by("notice").firstElementChild.textContent = line;
  show(by("notice"));
}

/** What is live: words to begin with, what may be filtered by, and whether own pictures are taken. */
async function learn() {
  live = await api.live();
  filters.offer(live);
  by("start-told").textContent = `${count(live.images)} pictures, ${count(live.labels)} words that find them.`;
  by("examples").replaceChildren(...live.examples.map(({ label, image_id }) => make("button", { type: "button", className: "example", onclick: () => ask(quote(label)) },
    make("span", { className: "picture" }, thumbnail(image_id, { alt: "", width: 120, height: 120 })), label)));
  for (const id of ["upload", "start-drop"]) show(by(id), live.uploads);
  show(by("night"), live.night);
}

/** The same once more, beside an answer that is drawn already. */
const learnAnew = () => learn().catch((fault) => tell(fault.message));

function drawStart({ image }) {
  grid.fill([]);
  by("count").textContent = "";
  show(by("start"));
  by("publication").textContent = `Publication ${live.publication}, run ${live.run}`;
  if (image) openDetail(image);
}

function drawDownload(wanted) {
  show(by("download"), wanted.q !== "");
  for (const kind of ["csv", "parquet"]) by(kind).href = api.address(`api/answers.${kind}`, state.asked(wanted));
}

function actOnTile(name, hit) {
  if (name === "open") openPicture(hit.image_id);
  else act(name, hit.image_id);
}

/** What tile and opened picture may lead to. */
function act(name, given) {
  const { q, image } = state.read();
  const term = storedTerm(given);
  if (name === "like") onward(term);
  if (name === "add" || name === "without") ask(box.withPicture(q, term, name === "without"));
  if (name === "word") onward(quote(given));
  if (name === "open") openPicture(given);
  if (name === "step") step(image, given);
  if (name === "close") closePicture();
}

function openPicture(id) {
  const open = by("detail").open;   // then its entry is replaced, and goes back to where that one does
  state.write({ ...state.read(), image: id }, open, { ...history.state, opened: open ? history.state?.opened : true });
  follow();
}

/** Back to the entry before it, or in its place where the page began with an open picture. */
function closePicture() {
  if (history.state?.opened) return history.back();
  go({}, true);
}

async function step(image, by_) {
  const goal = placeOf(image) + by_;
  if (goal >= grid.hits.length) await more();
  if (grid.hits[goal]) openPicture(grid.hits[goal].image_id);
}

const placeOf = (id) => grid.hits.findIndex(({ image_id }) => image_id === id);

/** Closes it; the tile of the picture that was open has the focus then. */
function closeDetail() {
  detail.close();
  grid.focus(placeOf(opened));
}

function openDetail(id) {
  const place = placeOf(id);
  opened = id;
  detail.open({ id, hit: grid.hits[place] ?? null, q: state.read().q, place, total: answer?.total ?? 0, links: live.links }, act);
}

function pressed(event) {
  const typing = event.target.closest("input, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "/" && !document.querySelector("dialog[open]")) by("asked").focus();
  else if (event.key === "?" && !document.querySelector("dialog[open]")) by("keys").showModal();
  else return;
  event.preventDefault();
}

async function begin() {
  try {
    await learn();
    follow();
  } catch (error) {
    refuse(error, begin);
  }
}

history.scrollRestoration = "manual";
box.setUp(ask);
filters.setUp(go);
detail.setUp(act);
own.setUp({
  taken: (term) => {
    asked = null;   // the same picture again is asked for again
    onward(term);
  },
  busy: () => {
    for (const id of ["trouble", "nothing", "start"]) show(by(id), false);
    by("count").textContent = "Your picture is looked at …";
    grid.wait();
  },
  refused: refuse,
});
token.setUp(begin);
addEventListener("popstate", follow);
addEventListener("keydown", pressed);
addEventListener("scroll", settle(keepPlace, KEEP_PLACE_MS), { passive: true });
by("more").addEventListener("click", more);
by("help").addEventListener("click", () => by("keys").showModal());
by("trouble").lastElementChild.addEventListener("click", () => { show(by("trouble"), false); retry(); });
by("nothing").lastElementChild.addEventListener("click", () => go(state.unfiltered(state.read())));
by("notice").lastElementChild.addEventListener("click", () => show(by("notice"), false));
begin();
