// printf, as vfiokit/trace/formats.py has it: parts of a format and arguments to text.
"use strict"

vfiokit.conversion = (part, value) => {
  const {k, f, w, p, b} = part
  const width = Number(w || 0), left = f.includes("-")
  const fit = (text) => left ? text.padEnd(width) : text.padStart(width)
  if (k === "s") {
    const text = value === null ? "(null)" : value
    return fit(p ? [...text].slice(0, Number(p.slice(1) || 0)).join("") : text)
  }
  const {low, high, negative} = value
  let whole = high ? (BigInt(high) << 32n) | BigInt(low) : BigInt(low)
  if (k === "p") {
    if (whole === 0n) return fit("(nil)")
    return fit(negative ? `-0x${(-BigInt.asIntN(64, whole)).toString(16)}` : `0x${whole.toString(16)}`)
  }
  if (k === "c") return fit(String.fromCharCode(low & 0xff))
  const signed = k === "d" || k === "i"
  whole = signed ? BigInt.asIntN(b, whole) : BigInt.asUintN(b, whole)
  const base = {o: 8, x: 16, X: 16}[k] ?? 10
  const minus = whole < 0n
  let digits = (minus ? -whole : whole).toString(base)
  if (k === "X") digits = digits.toUpperCase()
  if (p) digits = digits.padStart(Number(p.slice(1) || 0), "0")
  const alternate = f.includes("#"), special = alternate || p === "." || p === ".0"
  if ((p === "." || p === ".0") && whole === 0n) digits = ""
  if (alternate && base === 16 && whole) digits = `0${k}${digits}`
  if (alternate && k === "o" && !digits.startsWith("0")) digits = `0${digits}`
  const sign = minus ? "-" : !signed || special ? "" : f.includes("+") ? "+" : f.includes(" ") ? " " : ""
  if (f.includes("0") && !left && !p && !special) digits = digits.padStart(width - sign.length, "0")
  return fit(sign + digits)
}

// The conversions that nearly all events have, without the way through BigInt.
vfiokit.printer = (part) => {
  const bare = !part.f && !part.w && !part.p
  if (bare && part.k === "s") return (value) => value === null ? "(null)" : value
  if (bare && part.k === "x" && part.b === 64) {
    return ({low, high}) => high ? high.toString(16) + low.toString(16).padStart(8, "0") : low.toString(16)
  }
  if (bare && part.k === "x" && part.b === 32) return ({low}) => low.toString(16)
  if (bare && part.k === "d" && part.b === 32) return ({low}) => String(low | 0)
  return (value) => vfiokit.conversion(part, value)
}
