// Opens the template or the spec of a cell at its line in the user's editor; where none can be started, copies the place.
"use strict";
qb.edit = (() => {
  async function open(cell, place) {
    const where = `${place.file}:${place.line}`;
    if (!qb.model.live || !qb.access.may) {
      qb.copy(where, where);
      return;
    }
    try {
      const { started } = await qb.model.act("edit", { names: [cell.name], what: place.what });
      if (started) qb.toast(`Opening ${where}`);
      else qb.copy(where, `${where}. To open it from here, let EDITOR name an editor with a window`);
    } catch (error) {
      qb.toast(error.message);
    }
  }

  // A button for each file in which the cell can be edited.
  const buttons = (cell, detail) => (detail.places || []).map((place) =>
    qb.button(`Edit ${place.what}`, () => open(cell, place), { title: `${place.file}:${place.line}`, "data-act": `edit-${place.what}` }));

  return { buttons };
})();
