"use strict";
// Updates the figures from /stats.json once a second while the page is visible.
const button = document.querySelector("#release button");
const away = document.querySelector("#away");

function show(figures) {
  for (const place of document.querySelectorAll("[data-value]"))
    place.textContent = figures.texts[place.dataset.value];
  for (const bar of document.querySelectorAll("[data-bar]"))
    bar.setAttribute("width", figures.bars[bar.dataset.bar] + "%");
  for (const line of document.querySelectorAll("[data-line]"))
    line.setAttribute("d", figures.lines[line.dataset.line]);
  button.disabled = figures.robots.running;
}

async function ask() {
  try {
    show(await (await fetch("/stats.json")).json());
    away.hidden = true;
  } catch {
    away.hidden = false;
  }
}

async function poll() {
  if (!document.hidden) await ask();
  setTimeout(poll, 1000);
}

// The form works without this script. With it, the page is not reloaded.
document.querySelector("#release").addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  const body = new URLSearchParams(new FormData(event.target));
  const answer = await fetch("/robots", { method: "POST", body, redirect: "manual" }).catch(() => {});
  // The CSRF token is not valid any more: the user signed in or out in another tab.
  if (answer?.status === 403) location.reload();
  await ask();
});

poll();
