import { type TodoItem, TodoItemSchema, TodoStatus } from "@stigmer/protos/agentexecution/v1";
import { create } from "@bufbuild/protobuf";
import { isRecord } from "./read-content.ts";
import type { RunState } from "./run-state.ts";

const statuses: Readonly<Record<string, TodoStatus>> = {
  pending: TodoStatus.TODO_PENDING,
  in_progress: TodoStatus.TODO_IN_PROGRESS,
  completed: TodoStatus.TODO_COMPLETED,
  cancelled: TodoStatus.TODO_CANCELLED,
};

/**
 * The agent wrote its plan: the whole list, without ids. An item keeps its id as long as its text stays, or, reworded, its
 * place; ids sort in the order in which items appeared.
 */
export function writeTodos(state: RunState, list: readonly unknown[], at: string): void {
  const before = Object.values(state.fold.status.todos).sort((a, b) => (a.id < b.id ? -1 : 1));
  const written = list.flatMap((item) => {
    if (!isRecord(item) || typeof item["content"] !== "string") return [];
    const status = statuses[String(item["status"])] ?? TodoStatus.TODO_PENDING;
    return [{ content: item["content"].toWellFormed(), status }];
  });

  const unclaimed = new Set(before);
  const claim = (item: TodoItem | undefined): TodoItem | undefined => {
    if (item !== undefined && unclaimed.delete(item)) return item;
    return undefined;
  };
  const sameText = written.map(({ content }) =>
    claim(before.find((old) => old.content === content && unclaimed.has(old))),
  );
  const kept = written.map((_, place) => sameText[place] ?? claim(before[place]));

  let last = Math.max(0, ...before.map(({ id }) => Number(id.slice("todo-".length)) || 0));
  const items = written.map(({ content, status }, place) => {
    const old = kept[place];
    if (old?.content === content && old.status === status) return old;
    const id = old?.id ?? `todo-${String((last += 1)).padStart(3, "0")}`;
    return create(TodoItemSchema, { id, content, status, createdAt: old?.createdAt ?? at, updatedAt: at });
  });
  if (items.length === before.length && items.every((item) => before.includes(item))) return;
  state.emit({ case: "todos", value: { todos: Object.fromEntries(items.map((item) => [item.id, item])) } });
}
