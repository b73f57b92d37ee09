// What the page shows, as it stands in the address: a link to a cell or a moment shows the same to others.

const TEXTS = ["ueBy", "cellBy", "level", "name", "by", "kind", "xapp", "text"];
const NUMBERS = ["at", "cell", "ue"];

export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const place = { about: given.get("about") === "1" };
  for (const name of TEXTS) place[name] = (given.get(name) ?? "").slice(0, 128);
  for (const name of NUMBERS) {
    const value = Number(given.get(name) ?? NaN);
    place[name] = given.has(name) && Number.isFinite(value) && value >= 0 ? value : null;
  }
  return place;
}

export function write(place) {
  const said = new URLSearchParams();
  for (const name of TEXTS) if (place[name]) said.set(name, place[name]);
  for (const name of NUMBERS) if (place[name] !== null) said.set(name, String(Math.round(place[name] * 1000) / 1000));
  if (place.about) said.set("about", "1");
  const hash = `#${said}`;
  if (hash !== location.hash && (said.size || location.hash)) history.replaceState(null, "", hash);
}
