# SPDX-License-Identifier: MPL-2.0

variable "file" {
  description = "The task's YAML file."
  type        = string
}

variable "document" {
  description = "Which task of a file of several it is, from 0."
  type        = number
  default     = null
}

variable "base" {
  description = "The folder that relative paths in the task begin in. Default the file's."
  type        = string
  default     = null
}

variable "commit" {
  description = "The commit of a workdir that is a git repository."
  type        = string
  default     = null
}

variable "envs" {
  description = "Values for the task's envs, or further ones. They are in the state: no secrets here."
  type        = map(string)
  default     = {}
}

variable "ignore" {
  description = "Fields of the task that are not read, such as network_tier."
  type        = list(string)
  default     = null
}

variable "infra" {
  description = "The place, such as aws/us-east-1, instead of the task's own."
  type        = string
  default     = null
}

variable "name" {
  description = "The cluster's name, instead of the task's own."
  type        = string
  default     = null
}

variable "secrets" {
  description = "Values for the task's secrets, for envs without a value that are secret, and for secret_envs. They are kept nowhere."
  type        = map(string)
  default     = {}
  ephemeral   = true
}

variable "secret_envs" {
  description = "Further names that are secret: envs that have a placeholder in the file, and what it does not name, such as GIT_TOKEN of a git workdir."
  type        = list(string)
  default     = []
}

variable "secrets_version" {
  description = "Any text; change it together with secrets."
  type        = string
  default     = "1"
}

variable "outputs" {
  description = "Files to fetch once the job has ended, as outputs of sky_job."
  type = object({
    files     = list(string)
    folder    = string
    all_nodes = optional(bool)
  })
  default = null
}
