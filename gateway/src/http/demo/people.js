// Who is in the room: the list on the left, and a line in the talk for each one who comes or goes.

import { $, append, badge, note } from "./view.js";

let members = new Map();
let ownSession;

/** Everybody who is here now; `own` is the session of this window. */
export function showMembers(found, own) {
  ownSession = own;
  members = new Map(found.map((member) => [member.session, member]));
  const first = ({ session }) => session === ownSession;
  const sorted = [...members.values()].sort((left, right) => first(right) - first(left) || nameOf(left).localeCompare(nameOf(right)));
  $("here-count").textContent = sorted.length || "";
  $("here").replaceChildren(...sorted.map((member) => {
    const row = document.createElement("li");
    row.append(badge(nameOf(member)));
    append(row, "span", "who", nameOf(member));
    if (first(member)) append(row, "small", "", "you");
    return row;
  }));
}

export function showJoin(who, own) {
  if (who.session === own || members.has(who.session)) return;
  showMembers([...members.values(), who], ownSession);
  note(`${nameOf(who)} came in`);
}

export function showLeave(who) {
  if (!members.delete(who.session)) return;
  showMembers([...members.values()], ownSession);
  note(`${nameOf(who)} left`);
}

function nameOf({ info, user }) {
  return (typeof info?.name === "string" && info.name) || user || "someone";
}
