// Run where the packages of package.json are installed. Reads custom resources as a JSON list from standard input and writes what is wrong with them as another.
//
// The compiled schemas pass over properties that they don't know. Each property that a schema knows is
// read by it, so that what nobody read is unknown.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PLACES = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/_schemas/IoK8sSigsGatewayApiApisV1",
  "external-secrets.io/v1":
    "@kubernetes-models/external-secrets/_schemas/ComGithubExternalSecretsExternalSecretsApisExternalsecretsV1",
};

function watch(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const watched = Array.isArray(value) ? [] : {};
  for (const key of Object.keys(value)) {
    const place = `${path}/${key}`;
    const inner = watch(value[key], place, unread);
    unread.add(place);
    Object.defineProperty(watched, key, {
      enumerable: true,
      get() {
        unread.delete(place);
        return inner;
      },
    });
  }
  return watched;
}

const faults = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${object.kind} ${object.metadata?.name}`;
  const place = PLACES[object.apiVersion];
  if (!place) {
    faults.push(`${name}: there is no schema of ${object.apiVersion}`);
    continue;
  }
  const { validate } = await import(pathToFileURL(resolve(`node_modules/${place}${object.kind}.js`)));
  const unread = new Set();
  if (!validate(watch(object, "", unread))) {
    for (const error of validate.errors) {
      faults.push(`${name}: ${error.instancePath} breaks ${error.keyword} ${JSON.stringify(error.params)}`);
    }
  }
  for (const property of unread) faults.push(`${name}: ${property} is not known`);
}
console.log(JSON.stringify(faults));
