import { render } from "solid-js/web"
import { App } from "./App.tsx"

const page = document.querySelector("#page")
if (page !== null) render(() => <App />, page)
