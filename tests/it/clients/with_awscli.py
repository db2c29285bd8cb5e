"""Runs `aws configure list`, which shows the ends of the credentials and where they come from."""

import os
import subprocess
import sys

aws = os.path.join(os.path.dirname(sys.executable), "aws")
listed = subprocess.run([aws, "configure", "list"], check=True, capture_output=True, text=True).stdout
for line in listed.splitlines():
    words = line.replace(":", " ").split()
    if words and words[0] in ("access_key", "secret_key"):
        print("configure list: " + words[0], words[1] + " " + words[2], sep="\t")
