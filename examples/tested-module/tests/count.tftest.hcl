# SPDX-License-Identifier: MPL-2.0

# FluffyCloud alone, with a state folder of its own: no run of these tests asks
# another cloud for anything, or touches what you have launched elsewhere.
provider "sky" {
  enabled_clouds  = ["fluffycloud"]
  state_dir       = "./.sky-test"
  show_plan_table = false

  catalog = {
    offline = true
  }
}

variables {
  name  = "tested"
  words = ["cloud", "sky"]
}

# A plan launches nothing: here it refuses a bad value.
run "refuses_no_words" {
  command = plan

  variables {
    words = []
  }

  expect_failures = [var.words]
}

# An apply launches machines, and runs the job on them.
run "counts_on_both_nodes" {
  assert {
    condition     = sky_cluster.this.status == "UP" && length(sky_cluster.this.nodes) == 2
    error_message = "The cluster is ${sky_cluster.this.status}."
  }

  assert {
    condition     = length(regexall("has 2 words", output.log)) == 2
    error_message = "The log is: ${output.log}"
  }
}

# The next one changes what is there; what is left is destroyed at the end.
run "counts_anew" {
  variables {
    words = ["cloud", "sky", "rain"]
  }

  assert {
    condition     = length(regexall("has 3 words", output.log)) == 2
    error_message = "The log is: ${output.log}"
  }
}
