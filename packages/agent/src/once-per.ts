/**
 * What depends on its key alone, made once for the process and not for each run: schemas above all, whose conversions LangChain keeps
 * for as long as they are the same objects. Keys come from people's specs: of many, only some are kept.
 */
export function oncePer<Key extends string | number, Value>(
  make: (key: Key) => Value,
  most = 100,
): (key: Key) => Value {
  const made = new Map<Key, Value>();
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const value = make(key);
    if (made.size >= most) made.clear();
    made.set(key, value);
    return value;
  };
}
