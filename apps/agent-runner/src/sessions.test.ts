import { sessionsSuite } from "./__fixtures__/sessions-suite.ts";

sessionsSuite(() => ({ engine: { reattachMs: 200 } }));
