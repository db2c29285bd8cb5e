"""Asks through ec2-metadata (PyPI)."""

from ec2_metadata import ec2_metadata as told

for name in [
    "account_id",
    "ami_id",
    "ami_launch_index",
    "availability_zone",
    "instance_action",
    "instance_id",
    "instance_profile_arn",
    "instance_type",
    "kernel_id",
    "mac",
    "private_hostname",
    "private_ipv4",
    "public_hostname",
    "public_ipv4",
    "region",
    "security_groups",
    "spot_instance_action",
    "tags",
]:
    try:
        value = getattr(told, name)
    except Exception as error:
        value = f"{type(error).__name__}: {error}"
    if name == "tags":
        value = {key: value[key] for key in value}
    print(name, value, sep="\t")
print("user_data", told.user_data, sep="\t")
for mac, interface in told.network_interfaces.items():
    print("network_interfaces", mac, interface.device_number, interface.private_ipv4s, sep="\t")
