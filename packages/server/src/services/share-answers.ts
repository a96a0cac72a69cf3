/**
 * Asks one question per key at a time. Whoever comes while one is under way shares the next one with all who come until then:
 * nobody gets an answer that was looked for before they asked, and a hundred calls at once are two questions.
 */
export function shareAnswers<T>(ask: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const underWay = new Map<string, Promise<unknown>>();
  const next = new Map<string, Promise<T>>();

  function begin(key: string): Promise<T> {
    next.delete(key);
    const answer = ask(key);
    const end = async (): Promise<void> => {
      await answer.catch(() => {});
      if (underWay.get(key) === over) underWay.delete(key);
    };
    const over = end();
    underWay.set(key, over);
    return answer;
  }

  return (key) => {
    const shared = next.get(key);
    if (shared) return shared;
    const before = underWay.get(key);
    if (!before) return begin(key);
    const after = async (): Promise<T> => {
      await before;
      return begin(key);
    };
    const answer = after();
    next.set(key, answer);
    return answer;
  };
}
