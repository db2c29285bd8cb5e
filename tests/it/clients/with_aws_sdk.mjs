// Asks through @aws-sdk/ec2-metadata-service.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The modules are where the set-up put them, which is not beside this file.
const require = createRequire(pathToFileURL(`${process.argv[2]}/`));
const { MetadataService } = require("@aws-sdk/ec2-metadata-service");

const service = new MetadataService({ httpOptions: { timeout: 5000 } });
for (const name of ["instance-id", "placement/availability-zone", "public-keys/0/openssh-key", "tags/instance/role"]) {
  console.log(`${name}\t${await service.request(`/latest/meta-data/${name}`, {})}`);
}
try {
  await service.request("/latest/meta-data/no-such-thing", {});
} catch (error) {
  console.log(`no-such-thing\t${error.message.split(" ").at(-1)}`);
}
