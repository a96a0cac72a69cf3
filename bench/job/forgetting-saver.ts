import { BaseCheckpointSaver, type Checkpoint } from "@langchain/langgraph-checkpoint";

type SaverConfig = Parameters<BaseCheckpointSaver["put"]>[0];

/** Keeps nothing: LangGraph's `MemorySaver` serialises each step too, which is most of what a checkpoint costs. */
export class ForgettingSaver extends BaseCheckpointSaver {
  override async getTuple(): Promise<undefined> {}
  // oxlint-disable-next-line require-yield
  override async *list(): AsyncGenerator<never> {}
  override async put({ configurable }: SaverConfig, { id }: Checkpoint): Promise<SaverConfig> {
    return { configurable: { ...configurable, checkpoint_id: id } };
  }
  override async putWrites(): Promise<void> {}
  override async deleteThread(): Promise<void> {}
}
