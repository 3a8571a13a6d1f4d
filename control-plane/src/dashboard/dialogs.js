// The small dialogs: the token, and the question before what cannot be taken back.

import { $, setText } from "./view.js";

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
}

/** Shows what went wrong inside a dialog, or nothing. */
export function showProblem(dialog, text) {
  const place = dialog.querySelector(".problem");
  place.hidden = !text;
  setText(place, text);
}

/** Asks for a token; `handleToken` gets it. */
export function askForToken(problem, handleToken) {
  const dialog = $("sign-in");
  showProblem(dialog, problem);
  if (dialog.open) return;
  $("token").value = "";
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    dialog.close();
    handleToken($("token").value.trim());
    $("token").value = "";
  };
  dialog.showModal();
}

/** Asks for other bounds of a running operation; `run` gets those that differ, `null` for the default. */
export function askForChange({ id, spec }, run) {
  const dialog = $("change");
  const fields = [["maxRate", $("change-max-rate")], ["deadline", $("change-deadline")]];
  setText($("change-title"), `Change ${id}`);
  for (const [key, field] of fields) field.value = spec[key] ?? "";
  showProblem(dialog, "");
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const asked = fields.map(([key, field]) => [key, field.value.trim() === "" ? null : key === "maxRate" ? Number(field.value) : field.value.trim()]);
    try {
      await run(Object.fromEntries(asked.filter(([key, value]) => value !== (spec[key] ?? null))));
      dialog.close();
    } catch (problem) {
      showProblem(dialog, problem.message);
    }
  };
  dialog.showModal();
}

/**
 * Asks before `run` is called, and stays open until it succeeds. Where `typed` is given the operator has to type it: a click
 * alone is too easy for what overrides a safeguard.
 */
export function confirm({ title, words, go, typed = "", run }) {
  const dialog = $("confirm");
  setText($("confirm-title"), title);
  setText($("confirm-words"), words);
  setText($("confirm-label"), `To go on, type “${typed}”`);
  setText($("confirm-go"), go);
  $("confirm-line").hidden = !typed;
  $("confirm-text").value = "";
  const check = () => ($("confirm-go").disabled = $("confirm-text").value !== typed);
  $("confirm-text").oninput = check;
  check();
  showProblem(dialog, "");
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    $("confirm-go").disabled = true;
    try {
      await run();
      dialog.close();
    } catch (problem) {
      showProblem(dialog, problem.message);
      check();
    }
  };
  dialog.showModal();
}
