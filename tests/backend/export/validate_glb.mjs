// Prints the Khronos validator's report on a .glb file as JSON.
// node validate_glb.mjs FOLDER_WITH_NODE_MODULES FILE.glb
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, file] = process.argv.slice(2);
const require = createRequire(join(resolve(folder), "package.json"));
const validator = require("gltf-validator");
const report = await validator.validateBytes(new Uint8Array(readFileSync(file)), { maxIssues: 50 });
console.log(JSON.stringify(report));
