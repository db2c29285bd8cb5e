# Asks through facter's own resolver: the fact itself asks only where the hardware looks like EC2's, and a namespace has
# the hardware of its machine.
require "facter"
require "json"

told = Facter::Resolvers::Ec2.resolve(:metadata)
["instance-id", "instance-type", "local-hostname", "mac"].each { |name| puts "#{name}\t#{told[name]}" }
puts "placement\t#{JSON.generate(told["placement"])}"
puts "public-keys\t#{JSON.generate(told["public-keys"])}"
puts "iam\t#{JSON.parse(told["iam"]["info"])["InstanceProfileArn"]}"
puts "userdata\t#{Facter::Resolvers::Ec2.resolve(:userdata).inspect}"
