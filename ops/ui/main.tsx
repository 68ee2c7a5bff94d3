/** The page's entry: theme before the first paint, then state, then the view. */
import { render } from "preact";
import { App } from "./components/app.tsx";
import { resumeSending } from "./sending.ts";
import { start, strings } from "./store.ts";
import { applyTheme } from "./theme.ts";
import { followKeyboard } from "./viewport.ts";
import "./style.css";

applyTheme();
document.documentElement.lang = strings.lang;
followKeyboard();

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no element #app");
render(<App />, root);
start();
resumeSending();
