"""Asks through boto3: credentials of the role, and whether a client in the instance's region knows that it is."""

import boto3
from botocore.config import Config

session = boto3.Session()
print("credentials", session.get_credentials().access_key, sep="\t")
for region in ["cellar-1", "attic-1"]:
    client = session.client("sts", region_name=region, config=Config(defaults_mode="auto"))
    near = client.meta.config.connect_timeout < 2
    print(f"defaults for {region}", "in region" if near else "across regions", sep="\t")
