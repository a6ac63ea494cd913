// Copyright: (c) 2026, the Millwright developers
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// A vCenter (or, with -esx, an ESXi host) of the govmomi project's simulator, for tests. It prints its URL on the first
// line of its output and serves until it is told to end.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// ownDevices gives each VM devices of its own. The simulator's CloneVM_Task lets a clone share them with its template,
// so that the next clone would change the disks of the last one.
type ownDevices struct{ mo.Folder }

func (o *ownDevices) PutObject(mo.Reference) {}

func (o *ownDevices) RemoveObject(types.ManagedObjectReference) {}

func (o *ownDevices) UpdateObject(changed mo.Reference, changes []types.PropertyChange) {
	vm, ok := changed.(*mo.VirtualMachine)
	for _, change := range changes {
		if ok && change.Name == "config.hardware.device" {
			for i, device := range vm.Config.Hardware.Device {
				vm.Config.Hardware.Device[i] = copied(device)
			}
		}
	}
}

func copied(device types.BaseVirtualDevice) types.BaseVirtualDevice {
	own := shallow(device).(types.BaseVirtualDevice)
	base := own.GetVirtualDevice()
	if base.Backing != nil {
		base.Backing = shallow(base.Backing).(types.BaseVirtualDeviceBackingInfo)
	}
	return own
}

func shallow(pointer interface{}) interface{} {
	own := reflect.New(reflect.TypeOf(pointer).Elem())
	own.Elem().Set(reflect.ValueOf(pointer).Elem())
	return own.Interface()
}

func main() {
	listen := flag.String("l", "127.0.0.1:0", "address to listen on")
	esx := flag.Bool("esx", false, "be an ESXi host instead of a vCenter")
	cert := flag.String("cert", "", "PEM file with the certificate to show")
	key := flag.String("key", "", "PEM file with the certificate's key")
	user := flag.String("user", "", "the only account, as NAME:PASSWORD; any by default")
	delay := flag.Int("delay", 0, "milliseconds before each answer")
	idle := flag.Duration("idle", 0, "how long an idle session lives; for ever by default")
	vms := flag.Int("vm", 0, "VMs of each resource pool at the start")
	hosts := flag.Int("hosts", 3, "hosts of each cluster")
	clusters := flag.Int("clusters", 1, "clusters of each datacenter")
	datacenters := flag.Int("datacenters", 1, "datacenters")
	datastores := flag.Int("datastores", 2, "datastores of each datacenter")
	threads := flag.Int("threads", 16, "logical processors of each host")
	flag.Parse()

	model := simulator.VPX()
	if *esx {
		model = simulator.ESX()
	} else {
		model.Host, model.ClusterHost, model.Cluster = 0, *hosts, *clusters
		model.Datacenter, model.Pool = *datacenters, 1
	}
	model.Machine, model.Datastore, model.DelayConfig.Delay = *vms, *datastores, *delay
	simulator.SessionIdleTimeout = *idle
	defer model.Remove()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	for _, host := range simulator.Map.All("HostSystem") {
		host.(*simulator.HostSystem).Summary.Hardware.NumCpuThreads = int16(*threads)
	}
	handler := &ownDevices{}
	handler.Self = types.ManagedObjectReference{Type: "Folder", Value: "own-devices"}
	simulator.Map.AddHandler(handler)

	service := model.Service
	service.Listen = &url.URL{Host: *listen, User: account(*user)}
	service.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		service.TLS.Certificates = []tls.Certificate{pair}
	}
	server := service.NewServer()
	shown := *server.URL
	shown.User = nil
	fmt.Println(&shown)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}

func account(given string) *url.Userinfo {
	if given == "" {
		return nil
	}
	parsed, err := url.Parse("https://" + given + "@localhost")
	if err != nil {
		log.Fatalf("-user: %s", err)
	}
	return parsed.User
}
