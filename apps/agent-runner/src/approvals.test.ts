import { approvalsSuite } from "./__fixtures__/approvals-suite.ts";

approvalsSuite(() => ({ killServer: true, engine: { reattachMs: 200 } }));
