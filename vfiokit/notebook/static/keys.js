// Sends the keys that have a meaning to the kernel, while the focus is in the panel and not in a field.
function isField(element) {
  return element.closest("input, textarea, select, [contenteditable=true]") !== null
}

function render({ model, el }) {
  el.style.display = "none"
  let panel = null
  const pressed = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isField(event.target)) return
    if (!model.get("names").includes(event.key)) return
    // A focused button keeps Enter and Space for itself; letters are ours.
    event.preventDefault()
    event.stopPropagation()
    send(model, { key: event.key })
  }
  // The element is put into the page after this function has returned.
  const attach = () => {
    panel = el.closest(".vfiokit-panel")
    if (panel === null) return
    panel.tabIndex = 0
    panel.dataset.lmSuppressShortcuts = "true"
    panel.addEventListener("keydown", pressed)
  }
  const frame = requestAnimationFrame(attach)
  return () => {
    cancelAnimationFrame(frame)
    panel?.removeEventListener("keydown", pressed)
  }
}

export default { render }
