// SPDX-License-Identifier: MPL-2.0

package cloud

import "strings"

// containerPrefix begins an image that is one of a container, as in SkyPilot.
const containerPrefix = "docker:"

// MaxContainerImage is how long a ContainerImage may be, so that it can be noted in
// the tags of every cloud.
const MaxContainerImage = 250

// ContainerImage is the image of a container that an image_id names, such as
// "docker:pytorch/pytorch:latest", with its registry; false where it names the
// image of a machine.
func ContainerImage(image string) (string, bool) {
	if len(image) < len(containerPrefix) || !strings.EqualFold(image[:len(containerPrefix)], containerPrefix) {
		return "", false
	}
	image = image[len(containerPrefix):]
	first, _, path := strings.Cut(image, "/")
	switch {
	case !path:
		return "docker.io/library/" + image, true
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return image, true
	}
	return "docker.io/" + image, true
}

// ImageOf is the image_id that asks for a ContainerImage; empty asks for none.
func ImageOf(container string) string {
	if container == "" {
		return ""
	}
	return containerPrefix + container
}

// SameImage reports whether two image_ids ask for one image.
func SameImage(x, y string) bool {
	a, contained := ContainerImage(x)
	b, too := ContainerImage(y)
	return x == y || contained && too && a == b
}

// RegistryOf is the host of the registry that a ContainerImage comes from.
func RegistryOf(image string) string {
	host, _, _ := strings.Cut(image, "/")
	return host
}

// CannotContain says why machines of this cloud cannot run setup and jobs in a
// container; empty is that they can, or are containers themselves.
func (c Capabilities) CannotContain(o Offer, runtime string) string {
	switch {
	case c.StartCommand: // the image is the machine's own
		return ""
	case !c.Containers:
		return "machines of " + o.Cloud + " run no containers"
	case runtime != "" && runtime != "ssh":
		return "on machines of " + o.Cloud + " runtime = \"" + runtime + "\" runs jobs beside the container"
	}
	return ""
}

// CannotLogin says why machines of this cloud take no login to the registry of a
// container's image; empty is that they do.
func (c Capabilities) CannotLogin(o Offer) string {
	if c.StartCommand {
		return "machines of " + o.Cloud + " are containers, and " + o.Cloud + " itself gets their image: only a public one"
	}
	return ""
}
