terraform {
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

# Every setting has a default: clouds read the environment variables and files
# that their own tools read. FluffyCloud, which is built in, needs no account.
provider "sky" {}
