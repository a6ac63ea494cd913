// Copyright: (c) 2026, the Millwright developers
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// A vCenter (or, with -esx, an ESXi host) of the govmomi project's simulator, for tests. It prints its URL on the first
// line of its output and serves until it is told to end.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"reflect"
	"regexp"
	"strings"
	"sync"
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

// snapshots makes of the simulator's snapshots what they are at a vCenter. The simulator keeps a configuration that goes
// on changing, and going back to a snapshot changes nothing but which one is the current one; one that is deleted with
// its parent stays the current one; and all are of the VM's power state, whether they have its memory or not.
type snapshots struct {
	mo.Folder
	mu    sync.Mutex
	taken map[types.ManagedObjectReference]taken
	// Ids of VMs whose next snapshot is to have no memory.
	withoutMemory map[string]bool
}

type taken struct {
	config *types.VirtualMachineConfigInfo
	parent *types.ManagedObjectReference
}

func (s *snapshots) PutObject(mo.Reference) {}

func (s *snapshots) RemoveObject(types.ManagedObjectReference) {}

func (s *snapshots) UpdateObject(changed mo.Reference, changes []types.PropertyChange) {
	vm, ok := changed.(*mo.VirtualMachine)
	if !ok || vm.Snapshot == nil || vm.Snapshot.CurrentSnapshot == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	current := *vm.Snapshot.CurrentSnapshot
	if _, known := s.taken[current]; !known {
		s.take(vm, current)
	} else if len(changes) == 1 && changes[0].Name == "snapshot.currentSnapshot" {
		s.revert(vm, current)
	} else {
		s.leaveDeleted(vm)
	}
}

func (s *snapshots) take(vm *mo.VirtualMachine, snapshot types.ManagedObjectReference) {
	node, parent := find(vm.Snapshot.RootSnapshotList, snapshot, nil)
	if node == nil {
		return
	}
	s.taken[snapshot] = taken{config: ownConfig(vm.Config), parent: parent}
	if s.withoutMemory[vm.Self.Value] {
		node.State = types.VirtualMachinePowerStatePoweredOff
	}
}

func (s *snapshots) revert(vm *mo.VirtualMachine, snapshot types.ManagedObjectReference) {
	node, _ := find(vm.Snapshot.RootSnapshotList, snapshot, nil)
	if node != nil {
		vm.Config = ownConfig(s.taken[snapshot].config)
		vm.Runtime.PowerState = node.State
		vm.Summary.Runtime.PowerState = node.State
	}
}

func (s *snapshots) leaveDeleted(vm *mo.VirtualMachine) {
	current := vm.Snapshot.CurrentSnapshot
	for current != nil {
		if node, _ := find(vm.Snapshot.RootSnapshotList, *current, nil); node != nil {
			break
		}
		current = s.taken[*current].parent
	}
	vm.Snapshot.CurrentSnapshot = current
}

// find gives the place of a snapshot in a tree, and its parent.
func find(
	tree []types.VirtualMachineSnapshotTree, snapshot types.ManagedObjectReference, parent *types.ManagedObjectReference,
) (*types.VirtualMachineSnapshotTree, *types.ManagedObjectReference) {
	for i := range tree {
		if tree[i].Snapshot == snapshot {
			return &tree[i], parent
		}
		above := tree[i].Snapshot
		if node, its := find(tree[i].ChildSnapshotList, snapshot, &above); node != nil {
			return node, its
		}
	}
	return nil, nil
}

func ownConfig(config *types.VirtualMachineConfigInfo) *types.VirtualMachineConfigInfo {
	own := *config
	own.ExtraConfig = append([]types.BaseOptionValue{}, config.ExtraConfig...)
	own.Hardware.Device = nil
	for _, device := range config.Hardware.Device {
		own.Hardware.Device = append(own.Hardware.Device, copied(device))
	}
	return &own
}

// sources keeps what is cloned as it is. The simulator gives the files of a clone to the VM that it is made of, too, which
// would take them along when it goes.
type sources struct {
	mu     sync.Mutex
	cloned map[types.ManagedObjectReference]*cloned
}

type cloned struct {
	clones  int
	devices []types.BaseVirtualDevice
}

var clones = regexp.MustCompile(`(?s)<CloneVM_Task[^>]*>\s*<_this[^>]*>([^<]+)</_this>`)

func (s *sources) keeping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if said := clones.FindSubmatch(body); said != nil {
			source := types.ManagedObjectReference{Type: "VirtualMachine", Value: string(said[1])}
			if vm, ok := simulator.Map.Get(source).(*simulator.VirtualMachine); ok {
				s.begin(vm)
				defer s.end(vm)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *sources) begin(vm *simulator.VirtualMachine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cloned[vm.Self] == nil {
		s.cloned[vm.Self] = &cloned{devices: ownConfig(vm.Config).Hardware.Device}
	}
	s.cloned[vm.Self].clones++
}

func (s *sources) end(vm *simulator.VirtualMachine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.cloned[vm.Self]
	if kept.clones--; kept.clones == 0 {
		vm.Config.Hardware.Device = kept.devices
		delete(s.cloned, vm.Self)
	}
}

// read gives a request's body, which is there to be read again.
func read(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

var takesSnapshot = regexp.MustCompile(`(?s)<CreateSnapshot_Task.*<_this[^>]*>([^<]+)</_this>.*<memory[^>]*>([^<]+)</memory>`)

// listening hears whether a snapshot is to have the VM's memory, which the simulator does not tell anybody.
func (s *snapshots) listening(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if said := takesSnapshot.FindSubmatch(body); said != nil {
			s.mu.Lock()
			s.withoutMemory[string(said[1])] = string(said[2]) == "false"
			s.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
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
	for _, group := range simulator.Map.All("DistributedVirtualPortgroup") {
		if entity := group.Entity(); strings.Contains(entity.Name, "-DVUplinks") {
			entity.Tag = []types.Tag{{Key: "SYSTEM/DVS.UPLINKPG"}}
		}
	}
	handler := &ownDevices{}
	handler.Self = types.ManagedObjectReference{Type: "Folder", Value: "own-devices"}
	simulator.Map.AddHandler(handler)
	kept := &snapshots{taken: map[types.ManagedObjectReference]taken{}, withoutMemory: map[string]bool{}}
	kept.Self = types.ManagedObjectReference{Type: "Folder", Value: "snapshots"}
	simulator.Map.AddHandler(kept)

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
	sources := &sources{cloned: map[types.ManagedObjectReference]*cloned{}}
	server.Config.Handler = kept.listening(sources.keeping(server.Config.Handler))
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
