// Loaded into a runner by `--import`: its clock is behind that of all others.
const BEHIND_MS = 2_000;

const now = Date.now;
const behind = (): number => now() - BEHIND_MS;
globalThis.Date = new Proxy(Date, {
  get: (target, name) => (name === "now" ? behind : Reflect.get(target, name)),
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [behind()] : args, newTarget),
});
