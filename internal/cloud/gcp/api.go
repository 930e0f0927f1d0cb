// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"

	"google.golang.org/api/compute/v1"
)

// api are the calls of Compute Engine that the driver makes, each a function of
// its own. The driver becomes a cloud.Provisioner, and behind an interface the
// linker keeps every method of every type that it can reach from there: with
// the library's service in a field, all of Compute Engine's would be in the
// binary, which is 14 MB.
type api struct {
	getProject     func(ctx context.Context) (*compute.Project, error)
	getNetwork     func(ctx context.Context, project, name string) (*compute.Network, error)
	getSubnetwork  func(ctx context.Context, project, region, name string) (*compute.Subnetwork, error)
	getImage       func(ctx context.Context, project, name string) (*compute.Image, error)
	getImageFamily func(ctx context.Context, project, family string) (*compute.Image, error)

	insertInstance  func(ctx context.Context, zone string, in *compute.Instance, request string) (*compute.Operation, error)
	getInstance     func(ctx context.Context, zone, which string) (*compute.Instance, error)
	listInstances   func(ctx context.Context, zone, filter string, page func(*compute.InstanceList) error) error
	listEverywhere  func(ctx context.Context, filter string, page func(*compute.InstanceAggregatedList) error) error
	setMetadata     func(ctx context.Context, zone, id string, m *compute.Metadata) (*compute.Operation, error)
	setLabels       func(ctx context.Context, zone, id string, r *compute.InstancesSetLabelsRequest) (*compute.Operation, error)
	startInstance   func(ctx context.Context, zone, id string) (*compute.Operation, error)
	resumeInstance  func(ctx context.Context, zone, id string) (*compute.Operation, error)
	stopInstance    func(ctx context.Context, zone, id string, discardLocalSSD bool) (*compute.Operation, error)
	deleteInstance  func(ctx context.Context, zone, which string) (*compute.Operation, error)
	getDisk         func(ctx context.Context, zone, name string) (*compute.Disk, error)
	listDisks       func(ctx context.Context, zone, filter string, page func(*compute.DiskList) error) error
	disksEverywhere func(ctx context.Context, filter string, page func(*compute.DiskAggregatedList) error) error
	setDiskLabels   func(ctx context.Context, zone, name string, r *compute.ZoneSetLabelsRequest) (*compute.Operation, error)
	deleteDisk      func(ctx context.Context, zone, name string) (*compute.Operation, error)

	listFirewalls  func(ctx context.Context, filter string, page func(*compute.FirewallList) error) error
	insertFirewall func(ctx context.Context, rule *compute.Firewall) (*compute.Operation, error)
	getFirewall    func(ctx context.Context, name string) (*compute.Firewall, error)
	patchFirewall  func(ctx context.Context, name string, rule *compute.Firewall) (*compute.Operation, error)
	deleteFirewall func(ctx context.Context, name string) (*compute.Operation, error)

	getZoneOperation   func(ctx context.Context, zone, name string) (*compute.Operation, error)
	waitZoneOperation  func(ctx context.Context, zone, name string) (*compute.Operation, error)
	waitOperation      func(ctx context.Context, name string) (*compute.Operation, error)
	listZoneOperations func(ctx context.Context, zone, filter string) (*compute.OperationList, error)
}

// newAPI binds the calls to a project.
func newAPI(svc *compute.Service, project string) api {
	a := api{
		getProject: func(ctx context.Context) (*compute.Project, error) {
			return svc.Projects.Get(project).Context(ctx).Do()
		},
		getNetwork: func(ctx context.Context, project, name string) (*compute.Network, error) {
			return svc.Networks.Get(project, name).Context(ctx).Do()
		},
		getSubnetwork: func(ctx context.Context, project, region, name string) (*compute.Subnetwork, error) {
			return svc.Subnetworks.Get(project, region, name).Context(ctx).Do()
		},
		getImage: func(ctx context.Context, project, name string) (*compute.Image, error) {
			return svc.Images.Get(project, name).Context(ctx).Do()
		},
		getImageFamily: func(ctx context.Context, project, family string) (*compute.Image, error) {
			return svc.Images.GetFromFamily(project, family).Context(ctx).Do()
		},
		getZoneOperation: func(ctx context.Context, zone, name string) (*compute.Operation, error) {
			return svc.ZoneOperations.Get(project, zone, name).Context(ctx).Do()
		},
		waitZoneOperation: func(ctx context.Context, zone, name string) (*compute.Operation, error) {
			return svc.ZoneOperations.Wait(project, zone, name).Context(ctx).Do()
		},
		waitOperation: func(ctx context.Context, name string) (*compute.Operation, error) {
			return svc.GlobalOperations.Wait(project, name).Context(ctx).Do()
		},
		listZoneOperations: func(ctx context.Context, zone, filter string) (*compute.OperationList, error) {
			var all compute.OperationList
			err := svc.ZoneOperations.List(project, zone).Filter(filter).Pages(ctx, func(page *compute.OperationList) error {
				all.Items = append(all.Items, page.Items...)
				return nil
			})
			return &all, err
		},
	}
	a.bindInstances(svc, project)
	a.bindDisks(svc, project)
	a.bindFirewalls(svc, project)
	return a
}

func (a *api) bindInstances(svc *compute.Service, project string) {
	a.insertInstance = func(ctx context.Context, zone string, in *compute.Instance, request string) (*compute.Operation, error) {
		return svc.Instances.Insert(project, zone, in).RequestId(request).Context(ctx).Do()
	}
	a.getInstance = func(ctx context.Context, zone, which string) (*compute.Instance, error) {
		return svc.Instances.Get(project, zone, which).Context(ctx).Do()
	}
	a.listInstances = func(ctx context.Context, zone, filter string, page func(*compute.InstanceList) error) error {
		return svc.Instances.List(project, zone).Filter(filter).Pages(ctx, page)
	}
	a.listEverywhere = func(ctx context.Context, filter string, page func(*compute.InstanceAggregatedList) error) error {
		return svc.Instances.AggregatedList(project).Filter(filter).Pages(ctx, page)
	}
	a.setMetadata = func(ctx context.Context, zone, id string, m *compute.Metadata) (*compute.Operation, error) {
		return svc.Instances.SetMetadata(project, zone, id, m).Context(ctx).Do()
	}
	a.setLabels = func(ctx context.Context, zone, id string, r *compute.InstancesSetLabelsRequest) (*compute.Operation, error) {
		return svc.Instances.SetLabels(project, zone, id, r).Context(ctx).Do()
	}
	a.startInstance = func(ctx context.Context, zone, id string) (*compute.Operation, error) {
		return svc.Instances.Start(project, zone, id).Context(ctx).Do()
	}
	a.resumeInstance = func(ctx context.Context, zone, id string) (*compute.Operation, error) {
		return svc.Instances.Resume(project, zone, id).Context(ctx).Do()
	}
	a.stopInstance = func(ctx context.Context, zone, id string, discardLocalSSD bool) (*compute.Operation, error) {
		stop := svc.Instances.Stop(project, zone, id).Context(ctx)
		if discardLocalSSD {
			stop = stop.DiscardLocalSsd(true)
		}
		return stop.Do()
	}
	a.deleteInstance = func(ctx context.Context, zone, which string) (*compute.Operation, error) {
		return svc.Instances.Delete(project, zone, which).Context(ctx).Do()
	}
}

func (a *api) bindDisks(svc *compute.Service, project string) {
	a.getDisk = func(ctx context.Context, zone, name string) (*compute.Disk, error) {
		return svc.Disks.Get(project, zone, name).Context(ctx).Do()
	}
	a.listDisks = func(ctx context.Context, zone, filter string, page func(*compute.DiskList) error) error {
		return svc.Disks.List(project, zone).Filter(filter).Pages(ctx, page)
	}
	a.disksEverywhere = func(ctx context.Context, filter string, page func(*compute.DiskAggregatedList) error) error {
		return svc.Disks.AggregatedList(project).Filter(filter).Pages(ctx, page)
	}
	a.setDiskLabels = func(ctx context.Context, zone, name string, r *compute.ZoneSetLabelsRequest) (*compute.Operation, error) {
		return svc.Disks.SetLabels(project, zone, name, r).Context(ctx).Do()
	}
	a.deleteDisk = func(ctx context.Context, zone, name string) (*compute.Operation, error) {
		return svc.Disks.Delete(project, zone, name).Context(ctx).Do()
	}
}

func (a *api) bindFirewalls(svc *compute.Service, project string) {
	a.listFirewalls = func(ctx context.Context, filter string, page func(*compute.FirewallList) error) error {
		return svc.Firewalls.List(project).Filter(filter).Pages(ctx, page)
	}
	a.insertFirewall = func(ctx context.Context, rule *compute.Firewall) (*compute.Operation, error) {
		return svc.Firewalls.Insert(project, rule).Context(ctx).Do()
	}
	a.getFirewall = func(ctx context.Context, name string) (*compute.Firewall, error) {
		return svc.Firewalls.Get(project, name).Context(ctx).Do()
	}
	a.patchFirewall = func(ctx context.Context, name string, rule *compute.Firewall) (*compute.Operation, error) {
		return svc.Firewalls.Patch(project, name, rule).Context(ctx).Do()
	}
	a.deleteFirewall = func(ctx context.Context, name string) (*compute.Operation, error) {
		return svc.Firewalls.Delete(project, name).Context(ctx).Do()
	}
}
