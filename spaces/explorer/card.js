// The picture of a finished game, to keep and share; and where the focus goes.

// Draw the canvas #card from its data: title, map, score, a bar for each round, and the address.
window.explorerCard = () => requestAnimationFrame(() => requestAnimationFrame(() => {
  const card = document.querySelector("#card"), map = document.querySelector("#guess-map canvas");
  if (!card) return;
  const { title, score, rounds, players } = JSON.parse(card.dataset.card);
  const pen = card.getContext("2d"), wide = card.width = 1200, high = card.height = 630;
  const text = (words, x, y, font, colour = "#1d2126") => {
    pen.font = `${font} system-ui, sans-serif`;
    pen.fillStyle = colour;
    pen.fillText(words, x, y);
  };
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, wide, high);
  text("Where was this photo taken?", 40, 62, "600 34px");
  text(title, 40, 100, "22px", "#4a5058");
  const scale = Math.min(700 / map.width, 430 / map.height);
  pen.drawImage(map, 40, 345 - map.height * scale / 2, map.width * scale, map.height * scale);
  text(score[0], 780, 190, "700 60px");
  score.slice(1).forEach((line, i) => text(line, 780, 232 + 30 * i, "22px", "#4a5058"));
  rounds.forEach((points, i) => {
    const y = 310 + i * 24;
    text(`${i + 1}`, 780, y + 14, "16px", "#4a5058");
    points.forEach((value, player) => {
      if (value === null) return;
      pen.fillStyle = ["#dd7a00", "#8738ff"][player];
      pen.fillRect(812, y + player * 9, Math.max(value / 5000 * 330, 2), 8);
    });
  });
  players.forEach((name, i) => {
    pen.fillStyle = ["#dd7a00", "#8738ff"][i];
    pen.fillRect(780 + i * 150, 566, 14, 14);
    text(name, 802 + i * 150, 579, "18px", "#4a5058");
  });
  text(`Play the same photos: ${location.href}`.slice(0, 110), 40, 600, "18px", "#4a5058");
}));

window.explorerSaveCard = () => document.querySelector("#card")?.toBlob((picture) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(picture);
  link.download = "where-was-this-photo-taken.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

// Keep the game in the page's address, so that it can be sent to somebody.
window.explorerAddress = (data, game) => {
  const address = new URL(location.href);
  address.searchParams.set("data", data);
  address.searchParams.set("game", game);
  history.replaceState(null, "", address);
};

// Move the focus to the first of these elements that is there, and show where the page goes on.
window.explorerGoOn = (...selectors) => requestAnimationFrame(() => {
  const target = selectors.map((one) => document.querySelector(one)).find((one) => one?.offsetParent);
  target?.focus({ preventScroll: true });
  if (target?.matches("h2")) return target.scrollIntoView();
  if (innerWidth > 640) return target?.scrollIntoView({ block: "nearest" });
  // On a phone, photo and map fit into one screen, and so do result, map and button.
  document.querySelector(target?.matches("canvas") ? "#guess-photo" : "#guess-status").scrollIntoView();
});
