// Put before each of the other scripts (vfiokit/notebook/scripts.py): telling the kernel, and what was painted.

const PAINTED = 250 // ms after which a frame counts as painted where nothing is: in a hidden tab, say

function send(model, content) {
  try {
    model.send(content)
  } catch {
    // No kernel: a saved or exported page.
  }
}

// Answer a numbered message once the page has painted; the kernel leaves frames out until then.
function answer(model, seq) {
  let done = false
  const painted = () => {
    if (!done) send(model, { ack: seq })
    done = true
  }
  requestAnimationFrame(painted)
  setTimeout(painted, PAINTED)
}

