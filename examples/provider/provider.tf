terraform {
  required_providers {
    sky = {
      source = "skybroker/sky"
    }
  }
}

# Every setting has a default: FluffyCloud needs no account, and other clouds
# read the environment variables and files that their own tools read.
provider "sky" {}
