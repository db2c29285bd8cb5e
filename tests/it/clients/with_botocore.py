"""Asks through botocore: the region, and the credentials of the instance's role."""

import botocore.session
from botocore.utils import IMDSRegionProvider

session = botocore.session.get_session()
print("region", IMDSRegionProvider(session).provide(), sep="\t")
credentials = session.get_credentials()
print("provider", credentials.method, sep="\t")
print("credentials", credentials.access_key, sep="\t")
